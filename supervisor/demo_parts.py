"""How the demo looks at the world: the API, the simulator's log, and what is left behind."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import psutil

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from supervisor.processes import Program, SimulatorPlace

T = TypeVar("T")
PATIENCE: Final = 60.0
GLANCE: Final = 0.02


class DemoFailed(Exception):  # noqa: N818 - reads as what happened
    """A step did not do what it should; the text says what was seen instead."""


async def until(look: Callable[[], Awaitable[T | None]], otherwise: str) -> T:
    """Return what `look` finds, within PATIENCE seconds. Raises DemoFailed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(GLANCE)
    raise DemoFailed(f"{otherwise} within {PATIENCE:g} s")


class Api:
    """A client of one node's API and of the simulator's control API."""

    def __init__(self, url: str, key: str, control_url: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._control_url = control_url.rstrip("/")
        self._http: aiohttp.ClientSession

    @classmethod
    def of(cls, node: Program, place: SimulatorPlace) -> Self:
        key = Path(node.ready["key_file"]).read_text("ascii").strip()
        return cls(node.ready["url"], key, place.control_url)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.close()

    async def body(self, path: str) -> bytes:
        async with self._http.get(self._url + path, headers=self._headers) as answer:
            body = await answer.read()
            if answer.status != 200:  # noqa: PLR2004 - HTTP's own numbers
                raise DemoFailed(f"GET {path} answered {answer.status}: {body.decode()}")
            return body

    async def text(self, path: str) -> str:
        return (await self.body(path)).decode().strip()

    async def text_if_any(self, path: str) -> str | None:
        """Return the text, or None where the API answers that there is none."""
        async with self._http.get(self._url + path, headers=self._headers) as answer:
            return (await answer.text()).strip() if answer.status == 200 else None  # noqa: PLR2004

    async def get(self, path: str) -> Any:
        async with self._http.get(self._url + path, headers=self._headers) as answer:
            return await _json(answer, path)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        async with self._http.post(self._url + path, headers=self._headers, json=body) as answer:
            return await _json(answer, path)

    async def simulator(self, path: str, body: dict[str, Any]) -> Any:
        async with self._http.post(self._control_url + path, json=body) as answer:
            return await _json(answer, path)

    async def delete(self, path: str) -> int:
        """Delete and return the HTTP status."""
        async with self._http.delete(self._url + path, headers=self._headers) as answer:
            return answer.status

    async def control(self, path: str) -> Any:
        """Read from the simulator's control API."""
        async with self._http.get(self._control_url + path) as answer:
            return await _json(answer, path)

    async def simulator_delete(self, path: str) -> int:
        """Delete on the simulator's control API and return the HTTP status."""
        async with self._http.delete(self._control_url + path) as answer:
            return answer.status

    async def simulator_status(self, path: str, body: dict[str, Any]) -> int:
        """Tell the simulator something and return the HTTP status."""
        async with self._http.post(self._control_url + path, json=body) as answer:
            return answer.status

    async def log(self, kind: str) -> list[dict[str, Any]]:
        """Return the simulator's truth, the entries of one kind."""
        url = f"{self._control_url}/log"
        async with self._http.get(url, params={"kind": kind}) as answer:
            found = await _json(answer, "/log")
            entries: list[dict[str, Any]] = found["events"]
            return entries

    async def session_becomes(self, name: str, status: str, reason: str) -> None:
        async def look() -> bool | None:
            session = await self.get(f"/v1/sessions/{name}")
            there = (session["status"], session["reason"]) == (status, reason)
            return True if there else None

        await until(look, f"the session did not become {status}/{reason}")

    async def statuses_until(self, name: str, last: str) -> list[str]:
        """Return the statuses seen on the way to `last`, each once."""
        seen: list[str] = []

        async def look() -> bool | None:
            status = (await self.get(f"/v1/sessions/{name}"))["status"]
            if not seen or seen[-1] != status:
                seen.append(status)
            if status == "failed":
                raise DemoFailed("the session failed")
            return True if status == last else None

        await until(look, f"the session did not become {last}")
        return seen

    async def message_states(self, path: str, last: str) -> list[str]:
        """Return the states of a message seen on the way to `last`, each once."""
        seen: list[str] = []

        async def look() -> bool | None:
            state = (await self.get(path))["state"]
            if not seen or seen[-1] != state:
                seen.append(state)
            return True if state == last else None

        await until(look, f"the message did not become {last}")
        return seen

    async def inbound(self, path: str) -> Any:
        found = (await self.get(f"{path}?direction=inbound"))["messages"]
        return found[0] if found else None

    async def truth(self, text: str, number: str) -> str:
        """Check against the simulator's log that the text came once, to that number."""
        entries = await self.log("message_received_from_client")
        mine = [entry for entry in entries if entry.get("text") == text]
        if len(mine) != 1 or number not in str(mine[0].get("chat")):
            raise DemoFailed(f"the simulator saw the text {len(mine)} times")
        return "received once"

    async def qr_scans(self, number: str) -> int:
        return len([e for e in await self.log("qr_scanned") if e.get("number") == number])


async def _json(answer: aiohttp.ClientResponse, path: str) -> Any:
    if answer.status >= 400:  # noqa: PLR2004 - HTTP's own numbers
        raise DemoFailed(f"{path} answered {answer.status}: {await answer.text()}")
    return await answer.json()


def leftovers(data: Path, pids: Iterable[int], urls: Iterable[str]) -> list[str]:
    """Name every process, lock and port that a stopped node and simulator have left behind."""
    left = [f"process {pid}" for pid in pids if psutil.pid_exists(pid)]
    left += [
        f"process {process.info['pid']} ({process.info['name']})"
        for process in psutil.process_iter(["pid", "name", "cmdline"])
        if any(str(data) in part for part in process.info["cmdline"] or ())
    ]
    left += [f"lock {path.name}" for path in data.rglob("*.lock") if _held(path)]
    left += [f"lock {path.name}" for path in data.rglob("SingletonLock")]
    left += [f"port of {url}" for url in urls if _listening(url)]
    return left


def _held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _listening(url: str) -> bool:
    place = urlsplit(url if "//" in url else f"//{url}")
    with socket.socket() as probe:
        code = probe.connect_ex((place.hostname or "127.0.0.1", place.port or 0))
        return code != errno.ECONNREFUSED
