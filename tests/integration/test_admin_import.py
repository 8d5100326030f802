"""Cloud API credentials moved in, and everything sealed moved to a new key, on real files."""

from __future__ import annotations

import hashlib
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import SecretStr

from actors.reasons import REASONS, TRANSIENT
from config.settings import Settings
from storage.archives_index import NewArchive
from storage.media import MediaUnreadable
from storage.store import Provider, SessionStatus
from storage.tenants import (
    DEFAULT,
    PlanLimits,
    WorkspaceNotFound,
)
from storage.vault import (
    ArchiveContext,
    Keyring,
    SecretBox,
    open_archive,
    rewrap_archive,
    write_archive,
)
from storage.vault.errors import KeyMissing
from supervisor.admin import meta_import, meta_rows, rotation, tenancy
from supervisor.admin.errors import (
    KeyringFixed,
)
from supervisor.admin.meta_rows import open_meta_rows, token_context
from supervisor.admin.meta_source import read_rows
from supervisor.admin.place import Place
from supervisor.datadir import DataDir
from supervisor.errors import KekUnusable
from supervisor.keyring import open_keyring
from tests.integration.admin_support import dump, migrated
from tests.integration.media_support import media_files, read_all, received
from tests.integration.test_api_server import running_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from storage.privacy import MediaPointer

pytestmark = pytest.mark.integration

NOW: Final = 1_800_000_000_000
TOKENS: Final = {"acme": "EAAG-canary-acme", "beta": "EAAG-canary-beta"}


def record(name: str, number: str, **metadata: Any) -> dict[str, Any]:
    meta = {
        "whatsapp_phone_number_id": number,
        "whatsapp_business_id": "99887766",
        "whatsapp_access_token": TOKENS.get(name, "EAAG-canary"),
        "whatsapp_api_version": "v19.0",
    }
    return {"id": number, "name": name, "metadata": {**meta, **metadata}}


EXPORT: Final = [
    record("acme", "1001", theme="dark"),
    record("beta", "1002"),
    {"id": 3, "name": "gamma", "metadata": {"whatsapp_phone_number_id": "1003"}},
    {"id": 4, "name": "delta", "metadata": None},
]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return migrated(tmp_path / "data")


def settings_of(place: Place, **changes: Any) -> Settings:
    return Settings(data_dir=place.data.root, **changes)


def keyring(place: Place) -> Keyring:
    return open_keyring(settings_of(place), place.data)


async def run_import(
    place: Place, records: Sequence[object], *, apply: bool
) -> list[meta_import.RowReport]:
    rows = read_rows(json.dumps(records).encode())
    box = SecretBox(keyring(place)) if apply else None
    async with place.store() as store:
        return list(await meta_import.import_meta(place, store, rows, box))


async def test_a_dry_run_changes_nothing(place: Place) -> None:
    before = dump(place)
    reports = await run_import(place, EXPORT, apply=False)
    assert [(r.workspace, r.outcome, r.is_primary, r.new_workspace) for r in reports] == [
        ("acme", "would_move", True, True),
        ("beta", "would_move", True, True),
        ("gamma", "incomplete", False, False),
        ("delta", "nothing_to_move", False, False),
    ]
    assert reports[0].others == 1
    assert dump(place) == before
    assert not (place.data.root / "keys").exists()


async def test_credentials_are_moved_once_and_sealed(place: Place) -> None:
    await run_import(place, EXPORT, apply=True)
    after = dump(place)
    for token in TOKENS.values():
        assert token not in after
    reports = await run_import(place, EXPORT, apply=True)
    assert [r.outcome for r in reports[:2]] == ["already_there"] * 2
    assert dump(place) == after
    reports = await run_import(place, EXPORT, apply=False)
    assert [r.outcome for r in reports[:2]] == ["already_there"] * 2
    async with place.store() as store, open_meta_rows(place) as numbers:
        box = SecretBox(keyring(place))
        for name, number in (("acme", "1001"), ("beta", "1002")):
            home = (await store.workspace_named(name)).id
            [row] = await store.sessions(home)
            assert (row.name, row.provider, row.status) == (
                f"meta-{number}",
                Provider.META,
                SessionStatus.CONNECTED,
            )
            assert (row.is_primary, row.is_active) == (True, True)
            found = await numbers.find(home, number)
            assert found is not None
            context = token_context(home, row.id)
            assert box.open(found.meta["access_token"], context) == TOKENS[name].encode()
            assert (found.meta["business_id"], found.meta["api_version"]) == ("99887766", "v19.0")
            events = [e.type for e in await store.events(home)]
            assert events == ["session.created", "session.status", "session.primary"]
            assert await store.verify_access_log(home) is None
    with pytest.raises(WorkspaceNotFound):
        async with place.store() as store:
            await store.workspace_named("gamma")


async def test_a_boot_leaves_cloud_api_numbers_connected(place: Place) -> None:
    """Only what needs a browser has ended with a former life; the reason has its sentence."""
    await run_import(place, EXPORT[:1], apply=True)
    async with place.store() as store:
        home = (await store.workspace_named("acme")).id
        assert await store.settle_after_boot("supervisor_died", TRANSIENT, NOW) == 0
        [row] = await store.sessions(home)
        assert (row.status, row.reason) == (SessionStatus.CONNECTED, "imported")
        assert row.reason in REASONS


async def test_nothing_there_is_overwritten(place: Place) -> None:
    await run_import(place, EXPORT[:1], apply=True)
    after = dump(place)
    changed = [record("acme", "1001", whatsapp_access_token="EAAG-other")]
    [report] = await run_import(place, changed, apply=True)
    assert report.outcome == "differs"
    assert "EAAG" not in str(report)
    assert dump(place) == after


async def test_a_second_number_is_not_primary_and_limits_and_names_hold(place: Place) -> None:
    async with place.store() as store:
        await tenancy.set_plan(store, "small", PlanLimits(sessions=1))
        for name in ("acme", "beta", "eps"):
            home = (await tenancy.create_workspace(store, name)).id
            taken = "meta-1004" if name == "eps" else "a"
            session, _ = await store.create_session(home, taken, NOW)
            if name == "acme":
                await store.set_primary(home, session.id, NOW)
        await tenancy.change_workspace(store, "beta", plan="small", retention=None)
    rows = [*EXPORT[:2], record("eps", "1004")]
    dry = await run_import(place, rows, apply=False)
    assert [r.is_primary for r in dry] == [False, True, True]
    reports = await run_import(place, rows, apply=True)
    assert [(r.outcome, r.is_primary) for r in reports] == [
        ("moved", False),
        ("plan_limit_reached", False),
        ("name_taken", False),
    ]
    assert all(r.detail for r in reports)


async def test_a_cloud_api_number_is_shown_but_not_driven(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        place = Place(DataDir(tmp_path), 500)
        await run_import(place, [record(DEFAULT, "1001")], apply=True)
        [number] = (await api.get("/v1/numbers")).json["numbers"]
        assert (number["provider_type"], number["status"], number["is_primary"]) == (
            "meta",
            "connected",
            True,
        )
        one = f"/v1/sessions/{number['session_id']}"
        refused = [await api.post(f"{one}/{verb}") for verb in ("start", "stop", "logout")]
        refused += [await api.get(f"{one}/qr")]
        refused += [await api.post(f"{one}/messages", {"to": "15550100199", "text": "a"})]
        assert {(r.status, r.code) for r in refused} == {(409, "provider_unsupported")}
        off = (await api.post(f"{one}/deactivate")).json
        assert (off["is_active"], off["status"]) == (False, "connected")
        assert api.fleet.messages == []
        assert "EAAG" not in (await api.get(one)).raw.decode()


# ---- keys that encrypt ----


@dataclass
class Sealed:
    """A database with two sealed tokens, an archive and a message's file."""

    place: Place
    context: ArchiveContext
    archive: Path
    media: MediaPointer
    old: Keyring = field(repr=False)


@asynccontextmanager
async def sealed(place: Place) -> AsyncIterator[Sealed]:
    await run_import(place, EXPORT, apply=True)
    old = keyring(place)
    async with place.store() as store:
        home = (await store.workspace_named(DEFAULT)).id
        session, _ = await store.create_session(home, "a", NOW)
        context = ArchiveContext(home, session.id, await store.next_generation(session.id))
        path = place.data.root / "archives" / "one.wfa"
        path.parent.mkdir()
        facts = write_archive([b"profile" * 1000], path, old, context)
        await store.add_archive(
            NewArchive(
                session_id=session.id,
                generation=context.generation,
                path="archives/one.wfa",
                sha256=facts.sha256,
                bytes=path.stat().st_size,
                now_ms=NOW,
            )
        )
        pointer = await media_files(place.data.root, store, old).save(
            await received(store, home), [b"photo" * 1000]
        )
    yield Sealed(place, context, path, pointer, old)


async def test_everything_sealed_moves_to_the_new_key(place: Place) -> None:
    async with sealed(place) as there:
        new, kek = rotation.add_key(settings_of(place), place.data), place.data.keys / "kek"
        assert new.current != there.old.current
        report = await rotation.rewrap_everything(place, new)
        assert (report.kid, report.tokens, report.archives, report.media) == (new.current, 2, 1, 1)
        assert list(report.failed) == []
        with pytest.raises(KeyMissing):
            open_archive(there.archive, there.old, there.context)
        newest = Keyring.parse(kek.read_text().splitlines()[-1])  # the older one is not needed
        with open_archive(there.archive, newest, there.context) as stream:
            assert stream.read() == b"profile" * 1000
        async with open_meta_rows(place) as numbers, place.store() as store:
            for workspace_id, number in await numbers.all():
                token = SecretBox(newest).open(
                    number.meta["access_token"], token_context(workspace_id, number.uuid)
                )
                assert token.decode() in TOKENS.values()
            [pointer] = await store.archives(there.context.session)
            assert pointer.sha256 == hashlib.sha256(there.archive.read_bytes()).hexdigest()
            home, media = there.context.workspace, there.media.id
            with pytest.raises(MediaUnreadable):
                await read_all(media_files(place.data.root, store, there.old), home, media)
            anew = media_files(place.data.root, store, newest)
            assert await read_all(anew, home, media) == b"photo" * 1000
            moved = (await store.media(home, media)).pointer
            raw = (place.data.root / moved.path).read_bytes()
            assert (moved.sha256, moved.bytes) == (hashlib.sha256(raw).hexdigest(), len(raw))
        again = await rotation.rewrap_everything(place, new)
        assert (again.tokens, again.archives, again.media) == (0, 0, 0)


async def test_an_interrupted_rotation_is_finished_by_the_next(place: Place) -> None:
    """The file was replaced, its pointer not yet: the next run mends the pointer."""
    async with sealed(place) as there:
        new = rotation.add_key(settings_of(place), place.data)
        facts = rewrap_archive(there.archive, new)
        media = rewrap_archive(place.data.root / there.media.path, new)
        await rotation.rewrap_everything(place, new)
        async with place.store() as store:
            [pointer] = await store.archives(there.context.session)
            assert pointer.sha256 == facts.sha256
            record = await store.media(there.context.workspace, there.media.id)
            assert record.pointer.sha256 == media.sha256


async def test_what_can_t_be_moved_is_told_and_the_rest_moves(place: Place) -> None:
    async with sealed(place) as there:
        raw = bytearray(there.archive.read_bytes())
        raw[-1] ^= 1
        there.archive.write_bytes(raw)
        (place.data.root / there.media.path).unlink()
        new = rotation.add_key(settings_of(place), place.data)
        report = await rotation.rewrap_everything(place, new)
        assert (report.tokens, report.archives, report.media) == (2, 0, 0)
        lost = f"media {there.media.path}"
        assert [what for what, _ in report.failed] == ["archive archives/one.wfa", lost]


async def test_more_files_than_a_page_all_move(place: Place) -> None:
    """Each once, and progress tells of each."""
    async with sealed(place) as there, place.store() as store:
        media = media_files(place.data.root, store, there.old)
        message = await received(store, there.context.workspace, "M2")
        for _ in range(meta_rows.PAGE):
            await media.save(message, [b"small"])
    new = rotation.add_key(settings_of(place), place.data)
    ticks: list[int] = []
    report = await rotation.rewrap_everything(place, new, lambda done, _: ticks.append(done))
    assert report.media == meta_rows.PAGE + 1
    assert ticks == list(range(meta_rows.PAGE + 4))


async def test_the_older_key_may_go_when_everything_has_moved(place: Place) -> None:
    async with sealed(place):
        new = rotation.add_key(settings_of(place), place.data)
        await rotation.rewrap_everything(place, new)
    kek = place.data.keys / "kek"
    newest = kek.read_text().splitlines()[-1]
    only = settings_of(place, kek=SecretStr(newest))
    with pytest.raises(KekUnusable):
        open_keyring(only, place.data)  # the check value still needs the older key
    rotation.renew_check(settings_of(place), place.data)
    assert open_keyring(only, place.data).current == new.current


def test_keys_from_a_setting_are_not_rotated_here(place: Place) -> None:
    text = "k1:" + "A" * 43 + "="
    with pytest.raises(KeyringFixed, match="rewrap-only") as refused:
        rotation.add_key(settings_of(place, kek=SecretStr(text)), place.data)
    assert text not in str(refused.value)
    assert not place.data.keys.exists()
