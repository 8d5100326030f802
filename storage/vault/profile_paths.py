"""Which parts of a Chromium profile an archive holds, and which may be deleted. Pure.

At the top only what is named is kept. Inside `Default` everything is kept but what is named: if a
later Chromium keeps a part of the login in a new folder, a few bytes too many are better than a QR
code. Journals and write-ahead logs always stay with their databases: a copy without them is torn.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_AT_TOP: Final = {
    "Default": "the profile proper: IndexedDB, Local Storage, cookies, preferences",
    "Local State": "the key that cookies are encrypted with, and the list of profiles",
    "Last Version": "lets Chromium notice that it was downgraded",
    "First Run": "spares the first-run work",
}
"""Name below the user data directory, and why it is kept."""

NEVER: Final = {
    "Default/Cache": "HTTP cache; fetched again",
    "Default/Code Cache": "compiled JavaScript; made again, and often the largest part",
    "Default/GPUCache": "compiled shaders",
    "Default/Dawn*": "compiled shaders of WebGPU and Graphite",
    "Default/ShaderCache": "compiled shaders",
    "Default/GrShaderCache": "compiled shaders",
    "Default/Shared Dictionary": "compression dictionaries of the HTTP cache",
    # A registration without its scripts can't start; without one the page registers anew.
    "Default/Service Worker": "scripts and cached responses, tens of megabytes; registered again",
    "Default/WebStorage/*/CacheStorage": "cached responses of a storage bucket",
    "Default/blob_storage": "scratch of the running browser; IndexedDB keeps its blobs elsewhere",
    "Default/optimization_guide*": "downloaded models",
    "Default/Sessions": "open tabs; we open our own",
    "Default/Sync Data": "browser sync, which is off",
    "Default/History*": "pages seen; nobody looks",
    "Default/Favicons*": "icons",
    "Default/Top Sites*": "pages seen",
    "Default/Visited Links": "pages seen",
    "Default/Network Action Predictor*": "guesses from pages seen",
    "Default/VideoDecodeStats": "measurements",
    "**/Crashpad": "crash dumps may hold keys in clear",
    "**/Crash Reports": "crash dumps may hold keys in clear",
    "**/BrowserMetrics*": "measurements",
    "**/Singleton*": "locks of the browser that was copied; a copy must not look taken",
    "**/DevToolsActivePort": "the debugging address of the browser that was copied",
    "**/*.tmp": "half-written files",
    "**/.org.chromium.*": "half-written files",
}
"""Pattern of a path below the user data directory, and why it is left out with all below it.

`*` stands for anything within one name, a leading `**/` for any folder.
"""


def is_kept(path: str) -> bool:
    """Tell whether a file or folder is kept, given that the folder it is in is kept.

    `path` is relative to the user data directory, with slashes.
    """
    top, _, _ = path.partition("/")
    return top in KEPT_AT_TOP and not _NEVER.fullmatch(path)


WASTE: Final = (
    "Default/Cache",
    "Default/Code Cache",
    "Default/GPUCache",
    "Default/Dawn*",
    "Default/ShaderCache",
    "Default/GrShaderCache",
    "Default/Shared Dictionary",
    # All of it: Chromium drops a registration whose script is gone, but one that only lost its
    # cached responses stays in charge of the page, and never fetches them again (measured).
    "Default/Service Worker",
    "Default/WebStorage/*/CacheStorage",
    "Default/blob_storage",
    "Default/optimization_guide*",
    "**/Crashpad",
    "**/Crash Reports",
    "**/BrowserMetrics*",
    # at the top, beside Default
    "ShaderCache",
    "GrShaderCache",
    "GraphiteDawnCache",
    "GPUPersistentCache",
    "component_crx_cache",
    "extensions_crx_cache",
    "optimization_guide*",
)
"""What a profile that no browser runs on can lose without anybody noticing but by a slower start.

Nothing of it is ever in an archive. What is in neither table (history, icons, half-written files)
is small, and left alone.
"""


def is_waste(path: str) -> bool:
    """Tell whether a file or folder, with all below it, may be deleted; `path` as in `is_kept`."""
    return _WASTE.fullmatch(path) is not None


def _expression(pattern: str) -> str:
    inner = pattern.removeprefix("**/")
    anywhere = "(?:.*/)?" if inner != pattern else ""
    return anywhere + re.escape(inner).replace(r"\*", "[^/]*")


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    # One expression: this runs for every file while the browser stands still.
    return re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in patterns), re.DOTALL)


_NEVER: Final = _any_of(NEVER)
_WASTE: Final = _any_of(WASTE)
