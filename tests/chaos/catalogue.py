"""Every fault of the suite, in the order in which they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.chaos import (
    rows_browser,
    rows_clock,
    rows_container,
    rows_crowd,
    rows_delivery,
    rows_health,
    rows_limits,
    rows_profile,
    rows_storage,
    rows_supervisor,
    rows_webhooks,
    rows_whatsapp,
)

if TYPE_CHECKING:
    from tests.chaos.faults import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    *rows_browser.FAULTS,
    *rows_health.FAULTS,
    *rows_whatsapp.FAULTS,
    *rows_profile.FAULTS,
    *rows_storage.FAULTS,
    *rows_limits.FAULTS,
    *rows_webhooks.FAULTS,
    *rows_clock.FAULTS,
    *rows_supervisor.FAULTS,
    *rows_delivery.FAULTS,
    *rows_container.FAULTS,
    *rows_crowd.FAULTS,
)
