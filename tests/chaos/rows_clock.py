"""The wall clock jumps, under a running supervisor; its browsers and WhatsApp keep the time."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tests.chaos.faults import NONE, ONE, UNHARMED, Fault, below, exactly
from tests.chaos.insider import WRONG
from tests.chaos.rows_supervisor import INSIDER
from tests.chaos.trial import trial
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Client, Stage
    from tests.chaos.traffic import Traffic
    from tests.chaos.trial import Trial

HOUR: Final = 3600
JUMPS: Final = (HOUR, -HOUR, 24 * HOUR, 0)
"""Seconds that the clock is wrong by, one after the other; the last jump is home again."""
NEAR: Final = 60.0


async def clock_jumps(stage: Stage, _options: Options) -> Figures:
    """After each jump messages must go on; after the last, so must a killed browser."""
    with stage.fleet() as fleet:
        clock = fleet.home / "clock"
        _set(clock, 0)
        env = {"CHAOS_STEPS": str(fleet.home / "steps"), "CHAOS_CLOCK": str(clock)}
        fleet.start_inside(module=INSIDER, env=env)
        async with fleet.client() as api:
            await fleet.link(api, "left")
            await fleet.create(api, "unscanned")
            await api.becomes("unscanned", "qr_shown")
        async with trial(fleet) as t:
            shown = fleet.browsers("unscanned")
            await t.strike(lambda: None)
            for seconds in JUMPS:
                _set(clock, seconds)
                await eventually_async(lambda by=seconds: _is_wrong_by(t, by))  # type: ignore[misc]
                await _flows(t.traffic[0])
            calm = [entry for entry in t.timeline.seen if entry[1] != "connected"]
            t.figures["wrong"] = len(calm) + (fleet.browsers("unscanned") != shown)
            t.figures["events"] = len(await t.events("session.status"))
            browser = t.browser
            t.struck = time.monotonic()
            os.kill(browser.pid, signal.SIGKILL)
            await t.detected()
            await t.recovered()
    return t.figures


def _set(clock: Path, seconds: int) -> None:
    clock.touch()
    with clock.open("r+b") as file:  # the insider has it mapped
        file.write(WRONG.pack(seconds))


async def _is_wrong_by(t: Trial, seconds: int) -> bool:
    """Tell whether wafleet's own newest timestamp is that far from the true time."""
    messages = (await t.api.get(f"/v1/sessions/{t.victim}/messages?limit=200"))["messages"]
    newest = max(messages, key=lambda message: message["id"])
    made = datetime.fromisoformat(newest["created_at"]).timestamp()
    return bool(abs(made - time.time() - seconds) < NEAR)


async def _flows(traffic: Traffic) -> None:
    """Wait for three more messages to be accepted."""
    before = len(traffic.accepted)

    async def more() -> bool:
        return len(traffic.accepted) >= before + 3

    await eventually_async(more)


# ---- caps ----------------------------------------------------------------------------------------

WINDOWS: Final = 5
"""QR windows that a session may open in an hour."""


async def qr_capped(stage: Stage, _options: Options) -> Figures:
    """A session asks for codes until it may not; then the clock jumps, and wafleet is restarted."""
    with stage.fleet() as fleet:
        clock = fleet.home / "clock"
        _set(clock, 0)
        env = {"CHAOS_STEPS": str(fleet.home / "steps"), "CHAOS_CLOCK": str(clock)}
        fleet.start_inside(module=INSIDER, env=env)
        async with fleet.client() as api:
            began = await api.last_truth()
            await fleet.create(api, "one", start=False)
            for _ in range(WINDOWS):
                await api.post("/v1/sessions/one/start", {})
                await api.becomes("one", "qr_shown")
                await api.post("/v1/sessions/one/stop", {})
        wrong = 0
        for seconds in JUMPS:
            async with fleet.client() as api:
                wrong += await _opens_a_window(api)
                _set(clock, seconds)
                wrong += await _opens_a_window(api)
            fleet.stop()
            fleet.start_inside(module=INSIDER, env=env)
        async with fleet.client() as api:
            wrong += await _opens_a_window(api)
            issued = await api.seen(began, "qr_issued")
        fleet.stop()
    return {"windows": len({entry["connection"] for entry in issued}), "wrong": wrong}


async def _opens_a_window(api: Client) -> bool:
    """Ask for one window more than is allowed; it must be refused, and say when there is one."""
    refused = await _refusals(api)
    await api.ask("POST", "/v1/sessions/one/start")

    async def again() -> bool:
        return await _refusals(api) > refused

    await eventually_async(again)
    await api.becomes("one", "qr_limited")
    session = await api.session("one")
    return session["qr_available"] or "allowed at" not in str(session["detail"])


async def _refusals(api: Client) -> int:
    events = await api.events("one", "session.qr")
    return sum(each["payload"]["action"] == "refused" for each in events)


FAULTS: Final = (
    Fault(
        name="clock_jumps",
        what="the wall clock jumps by +1 h, -1 h, +1 d, and back; then the browser is killed",
        scale="default settings; the browsers' own clocks stay right",
        run=clock_jumps,
        bars={
            **UNHARMED,
            "wrong": NONE,
            "events": NONE,
            "restarts": exactly(1),
            "detected": below(0.5),
            "recovered": below(5),
            "codes": NONE,
            "twins": ONE,
        },
        quick=False,
    ),
    Fault(
        name="qr_capped",
        what="QR codes asked for without end, the clock jumping by +1 h, -1 h, +1 d and back",
        scale="default settings; a restart of wafleet after each jump",
        run=qr_capped,
        bars={"windows": exactly(WINDOWS), "wrong": NONE},
        quick=False,
    ),
)
