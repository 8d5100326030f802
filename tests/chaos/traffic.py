"""Messages that flow while a fault happens, and the judgement of what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.faults import Figures
    from tests.chaos.stage import Client, Fleet

PAUSE: Final = 0.4
"""Seconds between two messages of one direction: no cap per number comes near it in a short row."""
CERTAIN: Final = frozenset({"sent", "delivered", "read", "played", "failed"})
SETTLED: Final = CERTAIN | {"unknown"}
ARRIVAL: Final = 30.0
CATCH_UP: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is known of the messages accepted from us, in order, and of those written to us.

    `states` are the accepted ones' by text; `received` are (text, id), in order, of each time that
    one reached WhatsApp's server; `stored` are the texts of the inbound messages of the API.
    """

    accepted: Sequence[str]
    states: Mapping[str, str]
    received: Sequence[tuple[str, str]]
    written: Sequence[str] = ()
    stored: Sequence[str] = ()


def judge(sent: Sent) -> Figures:
    """Count what was lost, seen twice, out of order, and left unknown."""
    ids: dict[str, set[str]] = {}
    order: list[str] = []
    for text, wa_id in sent.received:
        if text not in ids:
            order.append(text)
        ids.setdefault(text, set()).add(wa_id)
    missing = [text for text in sent.accepted if text not in ids]
    unknown = [text for text in missing if sent.states.get(text) == "unknown"]
    waiting = [text for text in missing if sent.states.get(text) == "accepted"]
    places = {text: place for place, text in enumerate(sent.accepted)}
    arrived = [places[text] for text in order if text in places]
    stored = Counter(sent.stored)
    return {
        "lost": len(missing) - len(unknown) - len(waiting),
        "missed": sum(text not in stored for text in sent.written),
        "unknown": sum(state == "unknown" for state in sent.states.values()),
        "waiting": len(waiting),
        "duplicated": sum(len(found) - 1 for found in ids.values())
        + sum(count - 1 for count in stored.values()),
        "disordered": sum(after < before for before, after in pairwise(arrived)),
    }


@dataclass
class Traffic:
    """Texts to a contact and from it, one of each every PAUSE seconds, from start to stop."""

    fleet: Fleet
    api: Client
    session: str
    contact: str
    mark: str
    outbound: bool = True
    inbound: bool = True
    after: int = 0
    accepted: list[tuple[str, str]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    written: list[str] = field(default_factory=list)
    slowest: float = 0.0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def begin(
        cls, fleet: Fleet, api: Client, session: str, *, outbound: bool = True, inbound: bool = True
    ) -> Traffic:
        """Start to send and to be written to; without `outbound` only `post` sends."""
        contact = await fleet.stage.contact(api)
        after = await api.last_truth()
        made = cls(fleet, api, session, contact, mark=f"{session} {after}", after=after)
        made.outbound, made.inbound = outbound, inbound
        if outbound:
            made._tasks.append(asyncio.create_task(made._send()))
        if inbound:
            made._tasks.append(asyncio.create_task(made._write()))
        return made

    async def post(self, text: str) -> int:
        """Send one message; take note of what the API answers, and return the status."""
        began = asyncio.get_running_loop().time()
        body = {"to": self.contact, "text": text}
        status, answer = await self.api.ask("POST", f"/v1/sessions/{self.session}/messages", body)
        self.slowest = max(self.slowest, asyncio.get_running_loop().time() - began)
        if status == 202:
            self.accepted.append((answer["id"], text))
        else:
            self.refused[f"{status} {answer.get('code')}"] += 1
        return status

    async def end(self) -> None:
        """Send no more. Raises what broke a task."""
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def verdict(self, *, delivered: bool = True) -> Figures:
        """Wait until all have arrived where they should, then judge.

        `delivered` False is for a session that has ended for good: what was accepted waits.
        """
        if delivered:
            with suppress(AssertionError):  # one in doubt is looked up, and may be sent again
                await eventually_async(lambda: self._all_are(CERTAIN), ARRIVAL)
            await eventually_async(lambda: self._all_are(SETTLED), CATCH_UP)
            if self.inbound:
                with suppress(AssertionError):  # what has not come by then is counted as missed
                    await eventually_async(self._stored, CATCH_UP)
        return judge(
            Sent(
                accepted=[text for _, text in self.accepted],
                states=await self._states(),
                received=await self._received(),
                written=self.written,
                stored=await self._inbound() if delivered else self.written,
            )
        )

    async def stored_without_a_yes(self) -> int:
        """Count the messages that the API lists although it had refused them."""
        yes = {text for _, text in self.accepted}
        return sum(m["text"] not in yes for m in await self._list("outbound"))

    async def _send(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            try:
                await self.post(f"{self.mark} out {number}")
            except aiohttp.ClientError:
                self.refused["no answer"] += 1
            await self._pause()

    async def _write(self) -> None:
        number = 0
        path = f"/contacts/{self.contact}/messages"
        while not self._over.is_set():
            number += 1
            text = f"{self.mark} in {number}"
            await self.api.simulator(path, {"to": self.fleet.numbers[self.session], "text": text})
            self.written.append(text)
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(PAUSE):
                await self._over.wait()
        except TimeoutError:
            return

    async def _list(self, direction: str) -> list[dict[str, Any]]:
        path = f"/v1/sessions/{self.session}/messages?limit=200&direction={direction}"
        found: list[dict[str, Any]] = (await self.api.get(f"{path}&chat={self.contact}"))[
            "messages"
        ]
        return found

    async def _states(self) -> dict[str, str]:
        ours = {text for _, text in self.accepted}
        found = {m["text"]: m["state"] for m in await self._list("outbound")}
        return {text: found.get(text, "gone") for text in ours}

    async def _all_are(self, states: frozenset[str]) -> bool:
        return set((await self._states()).values()) <= states

    async def _inbound(self) -> list[str]:
        return [m["text"] for m in await self._list("inbound")] if self.inbound else []

    async def _stored(self) -> bool:
        return set(self.written) <= set(await self._inbound())

    async def _received(self) -> list[tuple[str, str]]:
        number = self.fleet.numbers[self.session]
        entries = await self.api.seen(self.after, "message_received_from_client", number=number)
        mine: Iterable[dict[str, Any]] = (e for e in entries if self.contact in str(e.get("chat")))
        return [(str(e.get("text")), str(e["id"])) for e in mine]
