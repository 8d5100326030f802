"""One contact's data, exported and erased, on real files."""

from __future__ import annotations

import io
import json
import stat
from typing import TYPE_CHECKING, Final

import pytest

from storage.media_index import MediaNotFound
from storage.messages import NewInbound, NewOutbound
from storage.privacy import ContactNotFound, NewMedia
from storage.tenants import (
    DEFAULT,
)
from supervisor.admin import contacts, tenancy
from supervisor.admin.errors import (
    ArgumentInvalid,
    OutputUnwritable,
)
from tests.integration.admin_support import dump, migrated
from tests.integration.media_support import media_files, read_all
from tests.integration.tenant_support import home_of

if TYPE_CHECKING:
    from pathlib import Path

    from storage.sqlite.store import SqliteStore
    from supervisor.admin.place import Place

pytestmark = pytest.mark.integration

NOW: Final = 1_800_000_000_000
NUMBER: Final = "15550100199"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return migrated(tmp_path / "data")


async def talk(store: SqliteStore, workspace: str) -> str:
    """Exchange three messages with the contact in each of two sessions; return a message's id."""
    home = (await store.workspace_named(workspace)).id
    message = ""
    for name in ("a", "b"):
        session, _ = await store.create_session(home, name, NOW)
        row = await store.accept_message(
            home,
            NewOutbound(
                session_id=session.id,
                chat=f"{NUMBER}@c.us",
                wa_id=f"3EB0{name}",
                body="canary out",
                now_ms=NOW,
            ),
        )
        message = row.id
        for wa_id, sender in (("1", NUMBER), ("2", NUMBER), ("3", "15550100111")):
            await store.record_inbound(
                NewInbound(
                    session_id=session.id,
                    chat=f"{sender}@c.us",
                    sender=f"{sender}@c.us",
                    wa_id=wa_id,
                    kind="chat",
                    body="canary in",
                    sent_ms=NOW,
                    now_ms=NOW,
                )
            )
    return message


async def test_a_contact_s_data_is_exported_whole(place: Place) -> None:
    ticks: list[tuple[int, int | None]] = []
    async with place.store() as store:
        await talk(store, DEFAULT)
        await tenancy.create_workspace(store, "acme")
        await talk(store, "acme")
        out = io.StringIO()
        count = await contacts.export_contact(
            store, "acme", "+1 (555) 010-0199", out, lambda *t: ticks.append(t)
        )
        document = json.loads(out.getvalue())
        assert count == len(document["messages"]) == 6
        assert {m["session_id"] for m in document["messages"]} == {
            s["session_id"] for s in document["sessions"]
        }
        assert document["contact"]["phone_number"] == NUMBER
        assert "15550100111" not in out.getvalue()
        assert ticks == [(6, 6)]
        again = io.StringIO()
        await contacts.export_contact(store, "acme", document["contact"]["id"], again)
        assert json.loads(again.getvalue()) == document
        for wrong, error in (
            ("15550100122", ContactNotFound),
            ("nonsense", ArgumentInvalid),
            ("01J9ZS8XQ2N4B6D8F0H2K4M6P8", ContactNotFound),
        ):
            with pytest.raises(error):
                await contacts.export_contact(store, "acme", wrong, io.StringIO())
        with pytest.raises(ContactNotFound):
            await contacts.export_contact(store, DEFAULT, document["contact"]["id"], io.StringIO())
        home = (await store.workspace_named("acme")).id
        log = await store.access_log(home)
        assert [e.action for e in log] == ["contact.export"] * 2 + ["workspace.create"]
        assert NUMBER not in str(log)


def test_an_export_is_private_and_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    with contacts.private_file(path) as file:
        file.write("{}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputUnwritable), contacts.private_file(path):
        pass
    assert path.read_text() == "{}"
    other = tmp_path / "other.json"
    with pytest.raises(ZeroDivisionError), contacts.private_file(other) as file:
        file.write(str(1 / 0))
    assert not other.exists()


async def test_a_kept_file_is_exported_by_name_and_erased(place: Place) -> None:
    """A real one, encrypted; that of another contact stays."""
    async with place.store() as store:
        media = media_files(place.data.root, store)
        home = await home_of(store)
        await talk(store, DEFAULT)
        session = (await store.session_named(home, "a")).id
        theirs, others = [
            (await store.messages(home, session, chat=f"{number}@c.us"))[0].id
            for number in (NUMBER, "15550100111")
        ]
        pointer = await media.save(theirs, [b"canary file" * 100])
        kept = await media.save(others, [b"another's"])
        out = io.StringIO()
        await contacts.export_contact(store, DEFAULT, NUMBER, out)
        [named] = json.loads(out.getvalue())["media"]
        assert (place.data.root / named["path"]).is_file()
        assert named["id"] == pointer.id
        report = await contacts.erase_contact(store, place.data.root, DEFAULT, NUMBER)
        assert (report.files, list(report.left)) == (1, [])
        assert not (place.data.root / pointer.path).exists()
        with pytest.raises(MediaNotFound):
            await read_all(media, home, pointer.id)
        assert await read_all(media, home, kept.id) == b"another's"


async def test_an_erased_contact_is_gone_and_so_are_its_files(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    media = place.data.root / "media"
    media.mkdir()
    async with place.store() as store:
        message = await talk(store, DEFAULT)
        for n, path in enumerate(["media/1", "../outside"]):
            if n == 0:
                (media / "1").write_text("canary file")
            await store.record_media(
                NewMedia(message_id=message, path=path, sha256="0" * 64, bytes=1, now_ms=NOW)
            )
        report = await contacts.erase_contact(store, place.data.root, DEFAULT, NUMBER)
        assert (report.messages, report.files, list(report.left)) == (6, 1, ["../outside"])
        with pytest.raises(ContactNotFound):
            await contacts.erase_contact(store, place.data.root, DEFAULT, NUMBER)
        again = await contacts.erase_contact(store, place.data.root, DEFAULT, report.contact_id)
        assert again.messages == 0
        [last, first] = await store.access_log((await store.workspace_named(DEFAULT)).id)
        assert (first.action, first.result, last.result) == ("contact.erase", "files_left", "done")
    assert not (media / "1").exists()
    assert outside.read_text() == "not ours"
    assert NUMBER not in dump(place)
    assert "15550100111" in dump(place)
