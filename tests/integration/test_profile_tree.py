"""Measuring and cleaning profiles: only waste goes, whatever stands in the way or changes."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.browser import profile_tree
from actors.browser.profile_facts import ProfileSize, Removed
from actors.browser.profile_tree import clean, measure, remove
from storage.vault.profile_paths import is_kept, is_waste
from tests.integration.tiny_disk import tiny_disk

pytestmark = pytest.mark.integration

KEPT = (
    "Default/IndexedDB/https_web.whatsapp.com_0.indexeddb.leveldb/000003.log",
    "Default/IndexedDB/https_web.whatsapp.com_0.indexeddb.blob/1/00/1a",
    "Default/Local Storage/leveldb/000003.log",
    "Default/Session Storage/000003.log",
    "Default/Cookies",
    "Default/Preferences",
    "Default/WebStorage/3/IndexedDB/indexeddb.leveldb/000003.log",
    "Default/Cache that is not one/x",
    "Default/IndexedDB/Cache/x",
    "Local State",
)
WASTE = (
    "Default/Cache/Cache_Data/data_1",
    "Default/Code Cache/js/4440d4bf1d19f6c0_0",
    "Default/GPUCache/data_1",
    "Default/DawnWebGPUCache/index",
    "Default/DawnGraphiteCache/index",
    "Default/Shared Dictionary/db",
    "Default/Service Worker/ScriptCache/2cc80dabc69f58b6_0",
    "Default/Service Worker/CacheStorage/1/2/15d92ceb907d1478_0",
    "Default/WebStorage/3/CacheStorage/1/x",
    "Default/blob_storage/1/x",
    "Crashpad/reports/1.dmp",
    "BrowserMetrics/1.pma",
    "GrShaderCache/data_1",
    "ShaderCache/data_1",
    "GraphiteDawnCache/data_1",
    "GPUPersistentCache/GPUCache/x",
    "component_crx_cache/1.crx",
)
SIZE = 8192


def make(session: Path, *paths: str, size: int = SIZE) -> None:
    for path in paths:
        file = session / "profile" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(size))


def prints(session: Path) -> dict[str, str]:
    """Every file below the profile with a hash of its content."""
    profile = session / "profile"
    return {
        str(file.relative_to(profile)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in profile.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def session(tmp_path: Path) -> Path:
    made = tmp_path / "session"
    (made / "profile").mkdir(parents=True)
    (made / "tmp").mkdir()
    return made


def test_only_waste_goes_and_every_byte_of_it_is_counted(session: Path) -> None:
    make(session, *KEPT, *WASTE)
    (session / "tmp" / "org.chromium.Chromium.x").mkdir()
    (session / "tmp" / "org.chromium.Chromium.x" / "f").write_bytes(bytes(SIZE))
    kept = {path: text for path, text in prints(session).items() if path in KEPT}
    before = measure(session)
    assert before.kept >= len(KEPT) * SIZE
    assert before.waste >= len(WASTE) * SIZE
    assert before.scratch >= SIZE
    assert before.files == len(KEPT) + len(WASTE) + 1
    removed = clean(session)
    after = measure(session)
    assert prints(session) == kept
    assert (after.waste, after.scratch, after.kept) == (0, 0, before.kept)
    assert removed == Removed(files=len(WASTE) + 1, bytes=before.disposable, left=0)
    assert clean(session) == Removed()


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert measure(tmp_path / "none") == ProfileSize()
    assert clean(tmp_path / "none") == Removed()
    assert remove(tmp_path / "none") == Removed()
    (tmp_path / "empty").mkdir()
    assert measure(tmp_path / "empty") == ProfileSize()


def test_no_link_is_followed(session: Path, tmp_path: Path) -> None:
    """Not in the place of waste, not in it, not above it; and what it leads to is not counted."""
    outside = tmp_path / "precious"
    make(outside, "Default/Cache/file", "secret")
    make(session, "Default/Cache/data_1", "Default/IndexedDB/log")
    before, size = prints(outside), measure(session)
    profile = session / "profile"
    (profile / "Default/Code Cache").symlink_to(outside)  # somebody's intent: it stays
    (profile / "Default/Cache/link").symlink_to(outside)
    (profile / "Default/Cache/up").symlink_to("../../..")
    (profile / "Default/Extensions").symlink_to(outside / "profile")  # would hold Default/Cache
    (profile / "GrShaderCache").symlink_to(outside / "profile/secret")
    (session / "tmp/out").symlink_to(outside)
    assert measure(session) == size
    assert clean(session).left == 0
    assert prints(outside) == before
    assert not (profile / "Default/Cache").exists()
    assert not list((session / "tmp").iterdir())
    assert (profile / "Default/Code Cache").is_symlink()
    assert (profile / "GrShaderCache").is_symlink()


@pytest.mark.parametrize("name", ["profile", "tmp", ""])
def test_a_directory_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "precious"
    make(outside, "Default/Cache/file")
    session = tmp_path / "session"
    if name:
        session.mkdir()
        (session / name).symlink_to(outside / "profile")
    else:
        session.symlink_to(outside)
    before = prints(outside)
    for work in (measure, clean):
        with pytest.raises(OSError, match=r"."):
            work(session)
    if not name:
        with pytest.raises(OSError, match=r"."):
            remove(session)
    assert prints(outside) == before


def test_pipes_and_sockets_hold_nobody_up(session: Path) -> None:
    make(session, "Default/Cache/data_1", "Default/Cookies")
    os.mkfifo(session / "profile/Default/Cache/pipe")
    os.mkfifo(session / "profile/Default/pipe")
    os.mkfifo(session / "profile/ShaderCache")  # no waste that Chromium makes is one
    measure(session)
    assert clean(session).left == 0
    assert not (session / "profile/Default/Cache").exists()
    assert (session / "profile/Default/pipe").exists()
    assert (session / "profile/ShaderCache").exists()


def test_a_tree_without_end_is_left_and_told(session: Path) -> None:
    make(session, "Default/Cookies")
    deep = session / "profile/Default/Cache"
    for _ in range(profile_tree.DEEPEST + 20):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(bytes(SIZE))
    assert measure(session).files == 1
    assert clean(session).left > 0
    assert (session / "profile/Default/Cookies").exists()


def test_another_file_system_is_not_entered(session: Path) -> None:
    make(session, "Default/Cache/data_1")
    with tiny_disk(session / "profile/Default/Cache/mounted", "size=1m") as there:
        (there / "precious").write_text("x")
        size = measure(session)
        assert size.files == 1
        assert clean(session).left > 0
        assert (there / "precious").read_text() == "x"
    clean(session)
    assert not (session / "profile/Default/Cache").exists()


def test_odd_names_are_names(session: Path) -> None:
    folder = os.fsencode(session / "profile") + b"/Default/Cache"
    Path(os.fsdecode(folder)).mkdir(parents=True)
    for name in (b"\xff\xfe", b"new\nline", b" ", b"-rf", b"..."):
        (Path(os.fsdecode(folder)) / os.fsdecode(name)).write_bytes(b"x")
    assert clean(session).files == 5


def test_somebody_swaps_folders_for_links_meanwhile(session: Path, tmp_path: Path) -> None:
    """The attack: each name is a folder when it is listed and a link when it is entered."""
    outside = tmp_path / "precious"
    make(outside, *(f"f{n}" for n in range(20)), "Default/Cache/file")
    before = prints(outside)
    stop = threading.Event()
    names = [
        session / "profile/Default/Cache",
        session / "profile/Default/Cache/sub",
        session / "profile/Default/other",
    ]

    def swap() -> None:
        while not stop.is_set():
            for name in names:
                with suppress(OSError):
                    name.symlink_to(outside / "profile")
                with suppress(OSError):
                    name.unlink()
                with suppress(OSError):
                    name.mkdir()
                with suppress(OSError):
                    (name / "file").write_bytes(b"x")
                with suppress(OSError):
                    (name / "file").unlink()
                with suppress(OSError):
                    name.rmdir()

    (session / "profile/Default").mkdir()
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(400):
            measure(session)
            clean(session)
    finally:
        stop.set()
        thread.join()
    assert prints(outside) == before
    assert len(before) == 21


PLACES = {"Cache": "Cache", "Cache_Data": "Cache/Cache_Data", "IndexedDB": "IndexedDB"}


@pytest.mark.parametrize("victim", PLACES)
def test_a_folder_becomes_a_link_between_the_look_and_the_entry(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """The same attack at exactly the worst moment."""
    outside = tmp_path / "precious"
    make(outside, "secret", "Default/Cache/file", "Crashpad/file")
    make(session, "Default/Cache/Cache_Data/data_1", "Default/IndexedDB/log")
    before, opened = prints(outside), profile_tree._opened
    swapped: list[Path] = []

    def attack(name: str, folder: int | None) -> Any:
        if name == victim and not swapped:
            place = session / "profile/Default" / PLACES[victim]
            place.rename(tmp_path / "moved")
            place.symlink_to(outside / "profile")
            swapped.append(place)
        return opened(name, folder)

    monkeypatch.setattr(profile_tree, "_opened", attack)
    clean(session)
    assert len(swapped) == 1
    assert swapped[0].is_symlink()
    measure(session)
    remove(session)
    assert prints(outside) == before


def test_removing_a_session_leaves_its_neighbours(tmp_path: Path) -> None:
    gone, there = tmp_path / "gone", tmp_path / "there"
    for session in (gone, there):
        make(session, *KEPT, *WASTE)
    (gone / "link").symlink_to(there)
    before = prints(there)
    removed = remove(gone)
    assert not gone.exists()
    assert prints(there) == before
    assert removed.files == len(KEPT) + len(WASTE) + 1
    assert removed.left == 0


names = st.sampled_from(
    ["Default", "Cache", "IndexedDB", "Service Worker", "WebStorage", "3", "CacheStorage", "x"]
)
trees = st.sets(st.lists(names, min_size=1, max_size=4).map("/".join), max_size=12)


@given(trees)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_what_the_table_calls_waste_goes(tmp_path: Path, paths: set[str]) -> None:
    session = Path(os.path.abspath(tmp_path)) / os.urandom(8).hex()  # noqa: PTH100 - fresh each time
    for path in paths:
        with suppress(OSError):  # a file where this one needs a folder, or the other way round
            make(session, path, size=10)
    files = set(prints(session)) if session.exists() else set()
    clean(session)
    left = set(prints(session)) if session.exists() else set()
    parents = {path: [*map(str, Path(path).parents)][:-1] for path in files}
    wanted = {p for p in files if not any(is_waste(each) for each in (p, *parents[p]))}
    assert left == wanted
    assert not any(is_waste(p) and is_kept(p) for p in files)
    remove(session)
