"""What a step of the session's machine means for its health. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors import state as machine
from actors.events import Phase
from actors.health_events import Leaving, Lost, Moved, Up, Well
from actors.messages import ExitKind, StopKind
from actors.outages import END_TO_END

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.health_events import PlanEvent
    from actors.state import State

WATCHED: Final = frozenset({Phase.CONNECTED, Phase.LOST})
"""Phases in which the page must answer. In the others it may be busy; they have their own ends."""


def well(state: State) -> bool:
    """Tell whether a session is what `connected` promises."""
    return state.phase is Phase.CONNECTED and state.sick not in END_TO_END


def changes(before: State, after: State) -> Iterator[PlanEvent]:
    """Return what happened to the health, in order."""
    if after.browser and not before.browser:
        yield Up()
    if well(before) and not well(after) and after.stop is None:
        detail = None if after.exit is None else after.exit.detail
        yield Lost(cause=_cause(after), detail=detail, lasting=_lasting(after))
    moved = Moved(connected=after.phase is Phase.CONNECTED, watched=after.phase in WATCHED)
    if moved != Moved(connected=before.phase is Phase.CONNECTED, watched=before.phase in WATCHED):
        yield moved
    if well(after) and not well(before):
        yield Well()
    leaves, again = after.exit is not None, _again(after)
    if leaves and (before.exit is None or (_again(before) and not again)):
        yield Leaving(cause=_cause(after), again=again)


def _cause(state: State) -> str:
    """Return the reason code of what went wrong."""
    if state.exit is not None:
        return state.exit.cause
    reason = machine.public(state)[1]
    return "conflict" if reason == "taking_over" else reason


def _lasting(state: State) -> bool:
    return state.exit is not None and state.exit.kind is ExitKind.PERMANENT


def _again(state: State) -> bool:
    """Tell whether an incarnation that ends is followed by another one without being asked for."""
    if state.stop is not None:
        return state.stop in {StopKind.RESTART, StopKind.RECYCLE}
    return state.exit is not None and state.exit.kind is ExitKind.CRASH
