"""An actor that really stands still is noticed, named, and told of until it goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from actors.base import BaseActor, ChildActor, busy_actors
from actors.messages import Begin
from actors.telemetry import Telemetry
from supervisor.watchdog import Watchdog
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration


class Sleeper(BaseActor):
    """Waits in its handler for what it is told."""

    def handle(self, message: Any) -> None:
        if isinstance(message, threading.Event):
            message.wait(30)

    def died(self, error: BaseException) -> None:
        """Not told of."""

    def cleanup(self) -> None:
        """Own nothing."""


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def watchdog(telemetry: Telemetry) -> Iterator[Watchdog]:
    made = Watchdog(telemetry, patience=0.2, interval=0.02)
    made.start()
    yield made
    made.stop()


def test_a_stuck_handler_is_alarmed_once_and_named(
    telemetry: Telemetry, watchdog: Watchdog
) -> None:
    value = telemetry.registry.get_sample_value
    ref, let_go = Sleeper.start(), threading.Event()
    with capture_logs() as logs:
        ref.tell(let_go)
        eventually(lambda: value("wafleet_actors_stuck") == 1.0)
        assert watchdog.is_stuck(Sleeper)
        assert not watchdog.is_stuck(ChildActor)  # type: ignore[type-abstract]
        let_go.set()
        eventually(lambda: value("wafleet_actors_stuck") == 0.0)
        assert not watchdog.is_stuck(Sleeper)
    ref.stop()
    (alarm,) = [entry for entry in logs if entry["event"] == "actor_stuck"]
    assert (alarm["actor"], alarm["message_type"]) == ("Sleeper", "Event")
    assert alarm["seconds"] >= 0.2
    assert any("test_watchdog.py" in place and "handle" in place for place in alarm["where"])
    assert value("wafleet_actor_alarms_total", {"actor": "Sleeper"}) == 1.0


def test_a_handler_that_raises_is_not_busy_any_more(watchdog: Watchdog) -> None:
    class Raiser(Sleeper):
        def handle(self, message: Any) -> None:
            if not isinstance(message, Begin):
                raise SystemExit

    ref = Raiser.start()
    ref.tell("x")
    eventually(lambda: not ref.is_alive())
    assert not watchdog.is_stuck(Raiser)
    assert [each for each in busy_actors() if each.actor == "Raiser"] == []
