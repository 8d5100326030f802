"""The Tenants port: workspaces, their plans and limits, and what sets their numbers apart.

A workspace is named by its public id, which comes from the caller's API key and from nowhere else.
Times are integer milliseconds since the epoch, UTC.

    StoreError
    ├── WorkspaceNotFound      no such workspace
    ├── PlanNotFound           no such subscription plan
    ├── NameTaken              a workspace or plan has this name already; choose another
    └── PlanLimitReached       limit_name, limit, used, plan: free something, or take a larger plan
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.store import SessionRow

DEFAULT: Final = "default"
"""The name of the workspace and of the plan that every database has; that plan has no limits."""


class WorkspaceNotFound(StoreError):  # noqa: N818
    code = "workspace_not_found"


class PlanNotFound(StoreError):  # noqa: N818
    code = "plan_not_found"


class NameTaken(StoreError):  # noqa: N818
    code = "name_taken"


class PlanLimitReached(StoreError):  # noqa: N818
    """Nothing was made. `limit_name` is `sessions`, `messages` (of one day, UTC) or `webhooks`."""

    code = "plan_limit_reached"

    def __init__(self, limit_name: str, *, limit: int, used: int, plan: str) -> None:
        daily = limit_name == "messages"
        super().__init__(
            f"The plan {plan} allows {limit} {'messages a day' if daily else limit_name}, and"
            f" {used} are used; {'wait for the next day (UTC)' if daily else 'delete one'},"
            " or move to a larger plan."
        )
        self.limit_name = limit_name
        self.limit = limit
        self.used = used
        self.plan = plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLimits:
    """How much a plan allows; None is no limit. `messages` counts those accepted in one UTC day."""

    sessions: int | None = None
    messages: int | None = None
    webhooks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    id: str
    name: str
    limits: PlanLimits
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept, in milliseconds since they were stored; None is for ever."""

    messages_ms: int | None = None
    media_ms: int | None = None
    events_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRecord:
    """One tenant; `plan` is the name of its plan."""

    id: str
    name: str
    plan: str
    retention: Retention
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a workspace uses of its plan: sessions that are not deleted, messages accepted today."""

    plan: str
    limits: PlanLimits
    sessions: int
    messages: int


class Tenants(Protocol):
    """Every write is one transaction."""

    # ---- for the operator's command line ----

    async def create_plan(self, name: str, limits: PlanLimits, now_ms: int) -> PlanRecord:
        """Make a plan. Raises NameTaken."""

    async def set_plan_limits(self, name: str, limits: PlanLimits, now_ms: int) -> PlanRecord:
        """Replace a plan's limits; what exists beyond them stays. Raises PlanNotFound."""

    async def plans(self) -> Sequence[PlanRecord]:
        """Return all plans in order of name."""

    async def create_workspace(
        self, name: str, now_ms: int, plan: str = DEFAULT
    ) -> WorkspaceRecord:
        """Make a workspace on the plan of that name. Raises NameTaken, PlanNotFound."""

    async def workspace_named(self, name: str) -> WorkspaceRecord:
        """Return the workspace of that name. Raises WorkspaceNotFound."""

    async def workspaces(
        self, *, after: str | None = None, limit: int = 100
    ) -> Sequence[WorkspaceRecord]:
        """Return workspaces in order of id, those with an id greater than `after`."""

    async def set_plan(self, workspace_id: str, plan: str, now_ms: int) -> WorkspaceRecord:
        """Put it on another plan. Raises WorkspaceNotFound, PlanNotFound."""

    # ---- for the API ----

    async def workspace(self, workspace_id: str) -> WorkspaceRecord:
        """Return it. Raises WorkspaceNotFound."""

    async def set_retention(
        self, workspace_id: str, retention: Retention, now_ms: int
    ) -> WorkspaceRecord:
        """Replace its times to live, each at least 1. Raises WorkspaceNotFound."""

    async def usage(self, workspace_id: str, now_ms: int) -> Usage:
        """Return what it uses and what its plan allows. Raises WorkspaceNotFound."""

    async def set_primary(self, workspace_id: str, session_id: str, now_ms: int) -> SessionRow:
        """Make it the workspace's only primary number. Raises SessionNotFound, SessionInactive."""

    async def deactivate(self, workspace_id: str, session_id: str, now_ms: int) -> SessionRow:
        """Let it neither run nor send nor be primary, but keep it. Raises SessionNotFound.

        Also sets `desired` to stopped; ending what runs is the fleet's work.
        """

    async def activate(self, workspace_id: str, session_id: str, now_ms: int) -> SessionRow:
        """Undo `deactivate`; it stays stopped until it is started. Raises SessionNotFound."""

    async def qr_code(self, workspace_id: str, session_id: str) -> str | None:
        """Return the sealed QR code that is shown now, if any. Raises SessionNotFound."""
