"""Which parts of a Chromium profile an archive holds. Pure, and data where possible.

At the top only what is named is kept. Inside `Default` everything is kept but what is named: if a
later Chromium keeps a part of the login in a new folder, a few bytes too many are better than a QR
code. Journals and write-ahead logs always stay with their databases: a copy without them is torn.
"""

from __future__ import annotations

import re
from typing import Final

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


def _expression(pattern: str) -> str:
    inner = pattern.removeprefix("**/")
    anywhere = "(?:.*/)?" if inner != pattern else ""
    return anywhere + re.escape(inner).replace(r"\*", "[^/]*")


# One expression: this runs for every file while the browser stands still.
_NEVER: Final = re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in NEVER), re.DOTALL)
