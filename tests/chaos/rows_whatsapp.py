"""What WhatsApp itself does to a session for good: told once, with the right reason, no restart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tests.chaos.faults import NONE, UNHARMED, Fault, below, exactly
from tests.chaos.trial import trial
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.faults import Figures, Options
    from tests.chaos.stage import Stage
    from tests.chaos.trial import Trial

RESTARTS: Final = "wafleet_session_restarts_total{"


async def ends_for_good(
    stage: Stage,
    _options: Options,
    *,
    fault: Callable[[Trial], object],
    status: str,
    reason: str,
) -> Figures:
    """The session must end with this status and reason, tell so once, and not be restarted."""
    async with trial(await stage.shared()) as t:
        t.delivered = False
        browser = t.browser
        restarts = await t.api.metric(RESTARTS)
        await t.strike(lambda: fault(t))
        t.figures["detected"] = await t.tells(lambda s, r: (s, r) == (status, reason))

        async def rests() -> bool:
            return bool((await t.api.session(t.victim))["desired"] == "stopped")

        await eventually_async(rests)
        told = await t.events("session.health")
        t.figures["events"] = len(told)
        t.figures["wrong"] = sum(e["payload"]["cause"] != reason for e in told)
        ends = [e for e in await t.events("session.status") if e["payload"]["reason"] == reason]
        t.figures["wrong"] += len(t.fleet.browsers(t.victim)) + len(ends) - 1
        wanted = await t.api.metric(RESTARTS) - restarts
        await t.api.simulator_delete("/faults")
    assert browser in t.guard.of(t.fleet.ids[t.victim])
    t.figures["restarts"] += wanted
    return t.figures


async def _phone_unlinks(t: Trial) -> None:
    await t.api.simulator(f"/phones/{t.number}/logout", {})


async def _simulate(t: Trial, *, kind: str) -> None:
    await t.api.simulator("/faults", {"kind": kind, "number": t.number})


def _row(
    name: str,
    what: str,
    status: str,
    reason: str,
    fault: Callable[[Trial], object],
    *,
    quick: bool = True,
) -> Fault:
    return Fault(
        name=name,
        what=what,
        scale="default settings",
        run=partial(ends_for_good, fault=fault, status=status, reason=reason),
        bars={
            **UNHARMED,
            "detected": below(2),
            "events": exactly(1),
            "restarts": NONE,
            "wrong": NONE,
            "codes": NONE,
        },
        quick=quick,
    )


FAULTS: Final = (
    _row("logged_out", "logged out on the phone", "disconnected", "logged_out", _phone_unlinks),
    _row("banned", "the number is blocked", "failed", "banned", partial(_simulate, kind="ban")),
    _row(
        "deprecated_version",
        "WhatsApp refuses the client's version",
        "failed",
        "deprecated_version",
        partial(_simulate, kind="deprecated_version"),
        quick=False,
    ),
    _row(
        "conflict",
        "another window takes the login over",
        "failed",
        "conflict",
        partial(_simulate, kind="conflict"),
        quick=False,
    ),
)
