"""What all rooms of the server share: the world, the faults, the log, the clocks, the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.clock import Clock
    from simulator.faults import Faults
    from simulator.options import SimulatorOptions
    from simulator.timers import Timers
    from simulator.truth import TruthLog
    from simulator.world import World


@dataclass(frozen=True, slots=True)
class Core:
    """One of each; ``changed`` is called after anything that the state file keeps has changed."""

    world: World
    faults: Faults
    truth: TruthLog
    timers: Timers
    clock: Clock
    options: SimulatorOptions
    changed: Callable[[], None]
