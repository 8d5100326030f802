"""`wafleet audit verify`: whether the access logs are as they were written.

A chain proves that nothing between its ends was changed. That its end was not cut off, or the whole
chain written anew, only shows against heads that were noted before and kept elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from storage.audit import AccessHead
from supervisor.admin.errors import ArgumentInvalid
from supervisor.admin.place import no_tick
from supervisor.admin.tenancy import every_workspace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from storage.sqlite.store import SqliteStore
    from supervisor.admin.place import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainReport:
    """One workspace's chain; `bad` is the id of the first bad entry, `missing:N`, or None."""

    workspace_id: str
    name: str
    head: AccessHead
    bad: str | None


async def verify_chains(
    store: SqliteStore,
    noted: Mapping[str, AccessHead],
    workspace: str | None = None,
    tick: Tick = no_tick,
) -> Sequence[ChainReport]:
    """Check every workspace's chain, or that of the workspace of that name.

    A noted workspace that is gone is reported as bad. Raises WorkspaceNotFound.
    """
    if workspace is not None:
        chosen = [await store.workspace_named(workspace)]
    else:
        chosen = [one async for one in every_workspace(store)]
    reports = []
    for number, one in enumerate(chosen):
        tick(number, len(chosen))
        head = await store.access_head(one.id)
        bad = await store.verify_access_log(one.id, noted.get(one.id))
        reports.append(ChainReport(workspace_id=one.id, name=one.name, head=head, bad=bad))
    gone = set() if workspace is not None else noted.keys() - {one.id for one in chosen}
    for workspace_id in sorted(gone):
        head = noted[workspace_id]
        bad = f"missing:{head.number}"
        reports.append(ChainReport(workspace_id=workspace_id, name="?", head=head, bad=bad))
    return reports


def read_heads(path: Path) -> dict[str, AccessHead]:
    """Read heads that `write_heads` noted. Raises ArgumentInvalid."""
    try:
        found: Any = json.loads(path.read_text("ascii"))
        return {
            str(workspace_id): AccessHead(number=int(head["number"]), hash=str(head["hash"]))
            for workspace_id, head in found.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArgumentInvalid(
            f"{path} does not hold noted heads ({type(error).__name__}); give a file that "
            "audit verify --note wrote."
        ) from None


def heads_text(reports: Sequence[ChainReport]) -> str:
    """Return the heads of good chains as JSON, to be kept where this machine can't change them."""
    heads = {r.workspace_id: asdict(r.head) for r in reports if r.bad is None}
    return json.dumps(heads, indent=1, sort_keys=True) + "\n"
