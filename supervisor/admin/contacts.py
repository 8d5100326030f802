"""`wafleet gdpr`: one contact's data across all sessions of a workspace, exported or erased."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Final

from api.lookup import is_ulid
from api.recipients import RecipientInvalid, parse_recipient
from storage.media_files import remove_media_files
from supervisor.admin.errors import ArgumentInvalid, OutputUnwritable
from supervisor.admin.place import no_tick, now_ms
from supervisor.admin.tenancy import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from storage.privacy import ContactExport, ContactRow
    from storage.sqlite.store import SqliteStore
    from supervisor.admin.place import Tick

_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class ErasedReport:
    """What an erasure took. `left` are files that could not be removed: remove them by hand."""

    contact_id: str
    messages: int
    files: int
    left: Sequence[str]


async def export_contact(
    store: SqliteStore, workspace: str, contact: str, out: IO[str], tick: Tick = no_tick
) -> int:
    """Write all that is stored of a contact to `out` as one JSON object; return its messages.

    `contact` is a phone number, a jid or the contact's id. The object has contact, sessions,
    answers (reactions and votes), messages (oldest first) and media (paths below the data
    directory). Times are milliseconds.
    Raises WorkspaceNotFound, ContactNotFound, ArgumentInvalid.
    """
    home = await store.workspace_named(workspace)
    found = await _find(store, home.id, contact)
    page = await store.export_contact(home.id, found.id, limit=_PAGE)
    total = sum(one.total_messages for one in page.sessions)
    out.write('{"contact": ' + _json(asdict(page.contact)))
    out.write(',\n "sessions": ' + _json([asdict(one) for one in page.sessions]))
    answers = await store.contact_answers(home.id, found.id)
    out.write(',\n "answers": ' + _json([asdict(one) for one in answers]))
    out.write(',\n "messages": [')
    count, media = 0, list[object]()
    while True:
        count = _write_messages(out, page, count)
        media += [asdict(one) for one in page.media]
        tick(count, max(count, total))
        if page.next_after is None:
            break
        page = await store.export_contact(home.id, found.id, after=page.next_after, limit=_PAGE)
    out.write('],\n "media": ' + _json(media) + "}\n")
    await note(store, home.id, "contact.export", contact=found.id)
    return count


def _write_messages(out: IO[str], page: ContactExport, count: int) -> int:
    for message in page.messages:
        out.write((",\n  " if count else "\n  ") + _json(asdict(message)))
        count += 1
    return count


async def erase_contact(
    store: SqliteStore, root: Path, workspace: str, contact: str
) -> ErasedReport:
    """Take a contact's name, number, jids, texts, counters and files; leave a pseudonym.

    `root` is the data directory. Safe beside a running node; what WhatsApp's own servers and the
    browsers' profiles hold is out of reach. Raises WorkspaceNotFound, ContactNotFound,
    ArgumentInvalid.
    """
    home = await store.workspace_named(workspace)
    found = await _find(store, home.id, contact)
    erased = await store.erase_contact(home.id, found.id, now_ms())
    left = [one.path for one in remove_media_files(root, erased.media)]
    result = "files_left" if left else "done"
    await note(store, home.id, "contact.erase", result, contact=found.id)
    return ErasedReport(found.id, erased.messages, len(erased.media) - len(left), left)


async def _find(store: SqliteStore, workspace_id: str, contact: str) -> ContactRow:
    if is_ulid(contact):
        return await store.contact(workspace_id, contact)
    try:
        jid = parse_recipient(contact)
    except RecipientInvalid as error:
        raise ArgumentInvalid(f"The contact is not usable: {error}.") from None
    return await store.contact_with_jid(workspace_id, jid)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def private_file(path: Path) -> Iterator[IO[str]]:
    """Make a file that only this user can read; it is not there if the block fails.

    Raises OutputUnwritable, also when there is one already.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OutputUnwritable(
            f"{path} can't be made ({error.strerror}); choose another file."
        ) from None
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
