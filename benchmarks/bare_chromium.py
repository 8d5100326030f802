"""Chromium and wa-js with nothing of wafleet around them: what start_to_qr is compared with.

The same program, the same arguments, a fresh profile, the same bundle on the same page; spoken to
with blocking calls, which is as little as it can be. The page tells through a CDP binding, without
any polling, as soon as wa-js hands out a login code.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from actors.browser.chromium import find_executable, read_version
from actors.browser.launch_args import BrowserOptions, arguments, environment
from actors.browser.page_source import WAJS_CONFIG
from benchmarks.families import family, outlived
from supervisor.wiring import BUNDLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from supervisor.processes import SimulatorPlace

DEADLINE: Final = 60.0
CHUNK: Final = 1 << 18
HIGH_FD: Final = 10
BINDING: Final = "benchmarkCode"
TELL_CODE: Final = """
(() => {
  const tell = window.BINDING;
  const look = () => WPP.conn.getAuthCode().then((code) => code && tell(code.fullCode));
  WPP.on('loader.ready', look);
  WPP.on('conn.auth_code_change', look);
})();
""".replace("BINDING", BINDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Seconds of time.monotonic(): before the spawn, before the navigation, with the code."""

    began: float
    launched: float
    code: float


class BareChromium:
    """Looks program and bundle up once, as a node does, then makes one run after the other."""

    def __init__(self, place: SimulatorPlace, scratch: Path) -> None:
        self._options = BrowserOptions(
            bundle_path=BUNDLE,
            host_resolver_rules=place.host_resolver_rules,
            trusted_spki=place.spki_hash,
        )
        self._executable = find_executable(None)
        self.version = read_version(self._executable)
        config = f"window.WPPConfig = {json.dumps(WAJS_CONFIG)};"
        self._script = "\n".join((config, BUNDLE.read_text("utf-8"), ";", TELL_CODE))
        self._scratch = scratch

    def run(self) -> Moments:
        """Load the page with a fresh profile until wa-js has the login code."""
        profile, tmp = self._scratch / "bare-profile", self._scratch / "bare-tmp"
        argv = arguments(
            self._options,
            executable=self._executable,
            version=self.version,
            profile=profile,
            sandbox=os.geteuid() != 0,
        )
        with ExitStack() as stack:
            for directory in (profile, tmp):
                directory.mkdir(mode=0o700)
                stack.callback(shutil.rmtree, directory)
            began = time.monotonic()
            pid, commands, answers = _spawn(argv, environment(os.environ, tmp), stack)
            stack.callback(_end, pid)
            pipe = _Pipe(commands, answers)
            session = self._prepare(pipe)
            launched = time.monotonic()
            pipe.call("Page.navigate", {"url": self._options.whatsapp_url}, session)
            pipe.event(lambda m: m.get("method") == "Runtime.bindingCalled")
            return Moments(began=began, launched=launched, code=time.monotonic())

    def _prepare(self, pipe: _Pipe) -> str:
        targets = pipe.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        target = {"targetId": page["targetId"], "flatten": True}
        session: str = pipe.call("Target.attachToTarget", target)["sessionId"]
        pipe.call("Page.enable", {}, session)
        pipe.call("Runtime.enable", {}, session)
        pipe.call("Runtime.addBinding", {"name": BINDING}, session)
        pipe.call("Page.addScriptToEvaluateOnNewDocument", {"source": self._script}, session)
        return session


class _Pipe:
    """Blocking CDP on two descriptors: one call at a time, events kept until asked for."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._until = time.monotonic() + DEADLINE
        self._number = 0
        self._rest = b""
        self._frames: list[bytes] = []
        self._events: list[dict[str, Any]] = []

    def call(
        self, method: str, params: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        left = memoryview(json.dumps(message).encode() + b"\0")
        while left:
            left = left[os.write(self._commands, left) :]
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def event(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for event in self._events:
            if wanted(event):
                return event
        while True:
            event = self._read()
            if wanted(event):
                return event

    def _read(self) -> dict[str, Any]:
        while not self._frames:
            left = max(0.0, self._until - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise TimeoutError(f"the bare browser did not get there within {DEADLINE:g} s")
            data = os.read(self._answers, CHUNK)
            if not data:
                raise RuntimeError("the bare browser closed its pipe")
            *self._frames, self._rest = (self._rest + data).split(b"\0")
        message: dict[str, Any] = json.loads(self._frames.pop(0))
        return message


def _spawn(argv: list[str], env: dict[str, str], stack: ExitStack) -> tuple[int, int, int]:
    """Start it with its ends of the pipes as 3 and 4; return (pid, write fd, read fd)."""
    with ExitStack() as childs:
        commands_out, commands_in = _pipe(childs, stack)
        answers_out, answers_in = _pipe(stack, childs)
        pid = os.posix_spawn(
            argv[0],
            argv,
            env,
            file_actions=[
                *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)),
                (os.POSIX_SPAWN_DUP2, commands_out, 3),
                (os.POSIX_SPAWN_DUP2, answers_in, 4),
            ],
            setsid=True,
        )
    return pid, commands_in, answers_out


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """Make a pipe above the child's 3 and 4; each end is closed with its owner's stack."""
    ends = []
    low = os.pipe2(os.O_CLOEXEC)
    for fd, owner in zip(low, (reader, writer), strict=True):
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
        os.close(fd)
        owner.callback(os.close, high)
        ends.append(high)
    return ends[0], ends[1]


def _end(pid: int) -> None:
    helpers = family(pid)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    outlived(helpers)
