"""When a session is asked after, and what follows: stories, and a world of virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import PageView
from actors.health_events import (
    Action,
    ArmBeat,
    ArmCheck,
    AskBrowser,
    AskPage,
    BrowserAnswered,
    CheckDue,
    Freed,
    FreePage,
    Heard,
    Leaving,
    Lost,
    Mend,
    Moved,
    PageAnswered,
    PlanEvent,
    Probe,
    Probed,
    Sicken,
    Silent,
    Suspect,
    Tell,
    Trouble,
    Up,
    Verdict,
    Void,
    Well,
)
from actors.health_plan import step
from actors.health_state import HealthRules, Plan, fresh
from actors.outages import History, Outage, Repair, RepairPolicy, Rung

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.unit

POLICY = RepairPolicy(reloads=3, reload_period=300, snapshot_after=3, pause=120, take_overs=0)
RULES = HealthRules(interval=120, probe=20, heartbeat=5, ack=30, policy=POLICY)

CONNECTED = Moved(connected=True, watched=True)
AWAY = Moved(connected=False, watched=True)
GONE = Moved(connected=False, watched=False)
FINE = PageView(socket="CONNECTED", mode="MAIN")
NO_BROWSER, NO_PAGE = Silent(rung=Rung.CDP), Silent(rung=Rung.PAGE)
BEAT, CHECK = ArmBeat(seconds=5), ArmCheck(seconds=100)
OFF = ArmCheck(seconds=None)
HUNG_PAGE = (NO_PAGE, BrowserAnswered(), NO_PAGE)


def answer(view: PageView | None = FINE) -> tuple[PlanEvent, ...]:
    return BrowserAnswered(), PageAnswered(view=view)


def waiting(seconds: float) -> PageView:
    """A page one of whose own messages has waited so long for its ack."""
    return replace(FINE, unacked_seconds=seconds)


def mend(repair: Repair, cause: str) -> Mend:
    return Mend(repair=repair, cause=cause)


def play(*story: PlanEvent | float, plan: Plan | None = None) -> tuple[Plan, list[Action]]:
    """Return the plan and the last event's actions; a number lets so many seconds go by."""
    plan, now, actions = plan or Plan(), 1000.0, list[Action]()
    for event in story:
        if isinstance(event, float):
            now += event
            continue
        plan, done = step(plan, event, now, RULES, lambda _, high: high)
        actions = list(done)
    return plan, actions


def last(*story: PlanEvent | float, plan: Plan | None = None) -> list[Action]:
    return play(*story, plan=plan)[1]


# ---- the beat ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ((Up(),), [BEAT]),
        # the page is asked only where it must answer
        ((BrowserAnswered(),), [BEAT]),
        ((CONNECTED, BrowserAnswered()), [AskPage()]),
        ((CONNECTED, AWAY, BrowserAnswered()), [AskPage()]),
        ((CONNECTED, GONE, BrowserAnswered()), [BEAT]),
        ((CONNECTED, *answer()), [BEAT]),
        ((CONNECTED, Void()), [BEAT]),
        # one missed beat is asked again at once, two mean that it hangs
        ((NO_BROWSER,), [AskBrowser()]),
        ((NO_BROWSER, NO_BROWSER), [mend(Repair.RESTART, "browser_unresponsive"), BEAT]),
        ((CONNECTED, NO_PAGE), [AskBrowser()]),
        ((CONNECTED, *HUNG_PAGE), [Suspect(cause="page_unresponsive"), FreePage()]),
        # but only two in a row, on the same rung
        ((NO_BROWSER, BrowserAnswered(), NO_BROWSER), [AskBrowser()]),
        ((CONNECTED, NO_PAGE, NO_BROWSER), [AskBrowser()]),
        ((CONNECTED, NO_PAGE, *answer(), NO_PAGE), [AskBrowser()]),
        ((CONNECTED, NO_PAGE, GONE, CONNECTED, NO_PAGE), [AskBrowser()]),
        ((CONNECTED, NO_PAGE, Void(), NO_PAGE), [Suspect(cause="page_unresponsive"), FreePage()]),
        # a page that can't be freed is loaded anew, and one that soon hangs again, too
        ((CONNECTED, *HUNG_PAGE, Freed(alive=True)), [BEAT]),
        (
            (CONNECTED, *HUNG_PAGE, Freed(alive=False)),
            [mend(Repair.RELOAD, "page_unresponsive"), BEAT],
        ),
        (
            (CONNECTED, *HUNG_PAGE, Freed(alive=True), 299.0, *HUNG_PAGE),
            [mend(Repair.RELOAD, "page_unresponsive"), BEAT],
        ),
        (
            (CONNECTED, *HUNG_PAGE, Freed(alive=True), 300.0, *HUNG_PAGE),
            [Suspect(cause="page_unresponsive"), FreePage()],
        ),
        # it was given up meanwhile, for another cause
        ((CONNECTED, *HUNG_PAGE, GONE, Freed(alive=False)), [BEAT]),
        ((CONNECTED, NO_PAGE, GONE, NO_PAGE, NO_PAGE), [BEAT]),
        # a page that is on its way lives
        ((CONNECTED, *answer(None), *answer(None)), [BEAT]),
    ],
)
def test_beats(story: tuple[PlanEvent | float, ...], actions: list[Action]) -> None:
    """What is done at the end of each story."""
    assert last(*story) == actions


def test_proofs_are_kept_by_rung() -> None:
    """A page that lives says nothing for its socket, and its socket nothing for the server."""
    plan, _ = play(Up(), 1.0, BrowserAnswered(), plan=Plan())
    assert (plan.proofs.cdp, plan.proofs.page) == (1001, None)
    plan, _ = play(CONNECTED, 1.0, *answer(replace(FINE, socket="TIMEOUT")))
    assert (plan.proofs.page, plan.proofs.socket, plan.proofs.end) == (1001, None, 1000)
    plan, _ = play(CONNECTED, 1.0, *answer(), 1.0, Heard(ack=False))
    assert (plan.proofs.page, plan.proofs.socket, plan.proofs.end) == (1001, 1001, 1002)


# ---- own messages without an ack -----------------------------------------------------------------

STUCK = (CONNECTED, 40.0, *answer(waiting(35)), *answer(waiting(40)))


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ((CONNECTED, 40.0, *answer(waiting(35))), [BEAT]),
        (STUCK, [Sicken(reason="acks_missing"), BEAT]),
        # not while it is young, has its ack, or there was no connection
        ((CONNECTED, 40.0, *answer(waiting(29)), *answer(waiting(29.9))), [BEAT]),
        ((CONNECTED, 40.0, *answer(waiting(35)), *answer(), *answer(waiting(35))), [BEAT]),
        ((CONNECTED, 20.0, *answer(waiting(500)), *answer(waiting(500))), [BEAT]),
        ((CONNECTED, AWAY, 40.0, *answer(waiting(35)), *answer(waiting(40))), [BEAT]),
        # its ack comes
        ((*STUCK, Heard(ack=True)), []),
        ((*STUCK, Heard(ack=True), *answer()), [Sicken(reason=None), CHECK, BEAT]),
        ((*STUCK, *answer(), Heard(ack=True)), [Sicken(reason=None), CHECK]),
        # what contacts write shows nothing for the acks
        ((*STUCK, Heard(ack=False), *answer(waiting(45))), [BEAT]),
        # it does not come: the browser is restarted, which may be too soon for another time
        (
            (*STUCK, 40.0, *answer(waiting(61))),
            [mend(Repair.RESTART, "acks_missing"), BEAT],
        ),
        # a send that ran out of time says the same
        ((CONNECTED, Trouble(cause="acks_missing")), [mend(Repair.RESTART, "acks_missing")]),
    ],
)
def test_acks(story: tuple[PlanEvent | float, ...], actions: list[Action]) -> None:
    """A message at the first tick for too long makes the session sick; then it is mended."""
    assert last(*story) == actions


# ---- the check -----------------------------------------------------------------------------------

SICK = Sicken(reason="evidence_missing")
SILENT = Probed(verdict=Verdict.SILENT)
ACKED = Probed(verdict=Verdict.ACKED)
ASKED = (CONNECTED, 100.0, CheckDue())
RELOAD = mend(Repair.RELOAD, "evidence_missing")


@pytest.mark.parametrize(
    ("story", "actions"),
    [
        ((CONNECTED,), [CHECK]),
        (ASKED, [Probe()]),
        # evidence moves the check; jitter never makes it ask anybody younger than 90 s
        ((CONNECTED, 40.0, Heard(ack=False)), []),
        ((CONNECTED, 40.0, Heard(ack=False), 60.0, CheckDue()), [ArmCheck(seconds=40)]),
        ((CONNECTED, 89.0, CheckDue()), [ArmCheck(seconds=11)]),
        ((CONNECTED, 90.0, CheckDue()), [Probe()]),
        ((CONNECTED, AWAY), [OFF]),
        ((CONNECTED, AWAY, CheckDue()), []),
        # one note at a time
        ((*ASKED, CheckDue()), []),
        ((*ASKED, ACKED), [CHECK]),
        ((*ASKED, SILENT), [RELOAD]),
        # that an earlier note had arrived says nothing of now
        ((*ASKED, Probed(verdict=Verdict.OLD)), [Probe()]),
        ((*ASKED, SILENT, GONE, CONNECTED, Probed(verdict=Verdict.OLD)), [Probe()]),
        ((*ASKED, AWAY, Probed(verdict=Verdict.OLD)), []),
        # a refusal is a word of the server's, too
        ((*ASKED, Probed(verdict=Verdict.REFUSED)), [CHECK]),
        # not now; and not at all, which no repair can mend
        ((*ASKED, Probed(verdict=Verdict.LATER)), [ArmCheck(seconds=5)]),
        ((*ASKED, Probed(verdict=Verdict.IMPOSSIBLE)), [Sicken(reason="unproven"), CHECK]),
        (
            (*ASKED, Probed(verdict=Verdict.IMPOSSIBLE), Heard(ack=False)),
            [Sicken(reason=None), CHECK],
        ),
        ((*ASKED, Probed(verdict=Verdict.IMPOSSIBLE), CheckDue()), [Probe()]),
        # the answer comes when the connection is gone
        ((*ASKED, AWAY, SILENT), []),
        ((*ASKED, AWAY, ACKED), []),
        # what comes meanwhile shows that only the acks are missing
        ((*ASKED, 5.0, Heard(ack=False), SILENT), [mend(Repair.RESTART, "acks_missing")]),
        # a new login refutes nothing: it has to be proven from end to end
        ((*ASKED, SILENT, GONE, CONNECTED), [Probe()]),
        ((*ASKED, SILENT, GONE, CONNECTED, ACKED), [Sicken(reason=None), CHECK]),
        ((*ASKED, SILENT, GONE, CONNECTED, Heard(ack=False)), [Sicken(reason=None), CHECK]),
        (
            (*ASKED, SILENT, GONE, CONNECTED, SILENT),
            [mend(Repair.RESTART, "evidence_missing")],
        ),
        # a page that was only suspected has not logged in anew
        (
            (CONNECTED, 40.0, *HUNG_PAGE, AWAY, Freed(alive=True), CONNECTED),
            [ArmCheck(seconds=60)],
        ),
        ((CONNECTED, 40.0, AWAY, CONNECTED), [CHECK]),
    ],
)
def test_checks(story: tuple[PlanEvent | float, ...], actions: list[Action]) -> None:
    """A note is written when there is no evidence, and never when there is."""
    assert last(*story) == actions


def test_without_proof_repairs_come_ever_slower_and_the_session_says_so() -> None:
    """In the incarnation after a restart that did not help."""
    history = History(
        outage=Outage(cause="acks_missing", rung=Rung.END, since=900, found=930, told=True),
        repairs=(Repair.RESTART,),
        mended=990,
    )
    plan = fresh(history)
    assert last(CONNECTED, plan=plan) == [Probe()]
    late = (Sicken(reason="acks_missing"), ArmCheck(seconds=95))
    assert last(CONNECTED, 15.0, SILENT, plan=plan) == list(late)
    assert last(CONNECTED, 15.0, SILENT, 95.0, CheckDue(), plan=plan) == [Probe()]
    again = (CONNECTED, 15.0, SILENT, 95.0, CheckDue(), 15.0, SILENT)
    assert last(*again, plan=plan) == [mend(Repair.RESTART, "acks_missing")]


# ---- what is told --------------------------------------------------------------------------------


def tells(*story: PlanEvent | float) -> list[tuple[str, str, str, float]]:
    """Return what is told in a story."""
    plan, now, told = Plan(), 1000.0, list[tuple[str, str, str, float]]()
    for event in story:
        if isinstance(event, float):
            now += event
            continue
        plan, actions = step(plan, event, now, RULES, lambda _, high: high)
        told += [
            (action.action, action.outage.cause, action.repair.value, action.seconds)
            for action in actions
            if isinstance(action, Tell)
        ]
    return told


CRASH = Leaving(cause="page_crashed", again=True)


@pytest.mark.parametrize(
    ("story", "told"),
    [
        ((CONNECTED, Well()), []),
        (
            (CONNECTED, Well(), Lost(cause="socket_lost"), AWAY, 7.0, CONNECTED, Well()),
            [("lost", "socket_lost", "none", 0), ("recovered", "socket_lost", "none", 7)],
        ),
        # what was silent had been so since its last sign of life
        (
            (CONNECTED, *answer(), 13.0, Lost(cause="page_unresponsive"), 7.0, Well()),
            [
                ("lost", "page_unresponsive", "none", 13),
                ("recovered", "page_unresponsive", "none", 20),
            ],
        ),
        (
            (CONNECTED, 120.0, Lost(cause="evidence_missing")),
            [("lost", "evidence_missing", "none", 120)],
        ),
        (
            (*STUCK, Lost(cause="acks_missing")),
            [("lost", "acks_missing", "none", 40)],
        ),
        # one outage, however many causes and repairs it has
        (
            (
                *(CONNECTED, Lost(cause="socket_lost"), Trouble(cause="socket_timeout")),
                *(GONE, Lost(cause="page_crashed"), 60.0, CONNECTED, Well()),
            ),
            [("lost", "socket_lost", "none", 0), ("recovered", "socket_lost", "reload", 60)],
        ),
        # what only a person can mend is told once
        (
            (
                *(CONNECTED, Lost(cause="logged_out", lasting=True), GONE),
                Leaving(cause="logged_out", again=False),
            ),
            [("lost", "logged_out", "none", 0)],
        ),
        # and so is an outage that nobody waits for any more
        (
            (
                *(CONNECTED, Lost(cause="socket_lost"), 5.0),
                *(Leaving(cause="stopped", again=False), Well()),
            ),
            [("lost", "socket_lost", "none", 0), ("ended", "socket_lost", "none", 5)],
        ),
        # also when it is stopped while it ends to be started again
        (
            (
                *(CONNECTED, Lost(cause="page_crashed"), CRASH, 5.0),
                Leaving(cause="stopped", again=False),
            ),
            [("lost", "page_crashed", "none", 0), ("ended", "page_crashed", "restart", 5)],
        ),
    ],
)
def test_an_outage_is_told_of_once_and_ends_once(
    story: tuple[PlanEvent | float, ...], told: list[tuple[str, str, str, float]]
) -> None:
    """With its first cause, its last repair, and how long it lasted."""
    assert tells(*story) == told


def test_an_outage_outlives_its_incarnation() -> None:
    """The next one ends it."""
    before, _ = play(CONNECTED, Lost(cause="browser_exited"), GONE, CRASH)
    _, actions = play(Up(), CONNECTED, 3.0, Well(), plan=fresh(before.history))
    (told,) = actions
    assert isinstance(told, Tell)
    assert (told.action, told.repair, told.seconds) == ("recovered", Repair.RESTART, 3)


def test_the_death_of_an_actor_is_told_by_the_next_one() -> None:
    """It could not write any more itself."""
    outage = Outage(cause="actor_crashed", rung=Rung.PROCESS, since=990, found=990)
    plan, actions = play(Up(), plan=fresh(History(outage=outage)))
    assert [type(action) for action in actions] == [Tell, ArmBeat]
    assert last(Up(), plan=plan) == [BEAT]


def test_what_comes_after_the_end_changes_nothing() -> None:
    """Outcomes and timers of a session that is leaving are late."""
    plan, _ = play(CONNECTED, CRASH)
    late: Sequence[PlanEvent] = (*answer(), *HUNG_PAGE, SILENT, CheckDue(), Well())
    for event in late:
        assert play(event, plan=plan) == (plan, [])
