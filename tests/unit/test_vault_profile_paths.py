"""What of a profile is kept: the login always; caches, locks and traces of a running one never."""

from __future__ import annotations

import pytest

from storage.vault.profile_paths import KEPT_AT_TOP, NEVER, WASTE, is_kept, is_waste

pytestmark = pytest.mark.unit

WHATSAPP = "https_web.whatsapp.com_0.indexeddb"


@pytest.mark.parametrize(
    "path",
    [
        "Local State",
        "Default",
        "Default/IndexedDB",
        f"Default/IndexedDB/{WHATSAPP}.leveldb/000003.log",
        f"Default/IndexedDB/{WHATSAPP}.leveldb/000005.ldb",
        f"Default/IndexedDB/{WHATSAPP}.blob/1/00/1a",
        "Default/Local Storage/leveldb/CURRENT",
        "Default/Session Storage/MANIFEST-000001",
        "Default/Cookies",
        "Default/Cookies-journal",
        "Default/Cookies-wal",
        "Default/Network/Cookies",
        "Default/Network/Cookies-journal",
        "Default/Preferences",
        "Default/Secure Preferences",
        "Default/WebStorage/QuotaManager",
        "Default/WebStorage/3/IndexedDB/indexeddb.leveldb/000003.log",
        "Default/databases/Databases.db",
        "Default/shared_proto_db/metadata/000003.log",
        "Default/File System/000/t/00/00000001",
        "Default/IndexedDB/Cache",
        "Default/A folder of a later Chromium/login",
    ],
)
def test_kept(path: str) -> None:
    parts = path.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    assert all(is_kept(each) for each in above)
    assert not any(is_waste(each) for each in above)


@pytest.mark.parametrize(
    "path",
    [
        "Default/Cache",
        "Default/Code Cache",
        "Default/GPUCache",
        "Default/DawnWebGPUCache",
        "Default/DawnGraphiteCache",
        "Default/ShaderCache",
        "Default/Service Worker",
        "Default/WebStorage/3/CacheStorage",
        "Default/blob_storage",
        "Default/History",
        "Default/History-journal",
        "Default/some/deep/half.tmp",
        "Default/.org.chromium.Chromium.a1B2",
        "Default/Crashpad",
        "GrShaderCache",
        "ShaderCache",
        "Crashpad",
        "BrowserMetrics",
        "BrowserMetrics-spare.pma",
        "SingletonLock",
        "SingletonCookie",
        "SingletonSocket",
        "Default/SingletonLock",
        "DevToolsActivePort",
        "Safe Browsing",
        "Profile 2",
        "",
    ],
)
def test_left_out(path: str) -> None:
    assert not is_kept(path)


@pytest.mark.parametrize("pattern", WASTE)
def test_waste_is_in_no_archive(pattern: str) -> None:
    path = pattern.replace("**/", "Default/").replace("*", "x")
    assert is_waste(path)
    assert not is_kept(path)


@pytest.mark.parametrize(
    "path",
    [
        "Default/Service Worker",  # all of it: a registration must not outlive its scripts
        "Default/WebStorage/3/CacheStorage",
        "Default/DawnWebGPUCache",
        "Crashpad",
        "Default/Crashpad",
        "BrowserMetrics-spare.pma",
        "GPUPersistentCache",
    ],
)
def test_waste(path: str) -> None:
    assert is_waste(path)


@pytest.mark.parametrize(
    "path",
    [
        "Default/History",
        "Default/Sessions",
        "Default/half.tmp",
        "SingletonLock",
        "Last Version",
        "Default/Cache2",
        "Other/Cache",
        "Cache",
        "",
    ],
)
def test_what_is_neither_kept_nor_large_is_left_alone(path: str) -> None:
    assert not is_waste(path)


def test_every_rule_says_why() -> None:
    assert all({**KEPT_AT_TOP, **NEVER}.values())


def test_a_star_stays_within_one_name() -> None:
    assert is_kept("Default/WebStorage/3/deeper/CacheStorage")
