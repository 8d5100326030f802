"""The one script that every new document runs first: configuration, wa-js, our adapter."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from actors.browser.driver import BundleMissing
from actors.browser.page_session import FILE
from actors.upload_time import LONGEST_UPLOAD, SLOWEST_UPLOAD

PAGE: Final = Path(__file__).parent / "page"
SCRIPTS: Final = (
    "bindings.js",
    "content.js",
    "mentions.js",
    "messages.js",
    "kinds.js",
    "sending.js",
    "reactions.js",
    "incoming.js",
    "reading.js",
    "marks.js",
    "health.js",
    "adapter.js",
)
MARK: Final = "self.WPP="

WAJS_CONFIG: Final = {
    # wa-js reports every page to its own Google Analytics property unless told not to,
    "disableGoogleAnalytics": True,
    # and sends links to servers of its authors to make previews.
    "linkPreviewApiServers": [],
}

NO_SERVICE_WORKER: Final = """
if (navigator.serviceWorker) {
  // WhatsApp Web works without one. It would cost memory, serve an old version of the page from its
  // cache, and name a headless browser: client hints can't be overridden in it.
  const refused = () => Promise.reject(new DOMException('no service workers', 'SecurityError'));
  navigator.serviceWorker.register = refused;
  navigator.serviceWorker.getRegistrations()
    .then((all) => all.forEach((each) => each.unregister()), () => null);
}"""


def _random_name() -> str:
    return f"_{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNames:
    """The globals of one browser's pages; random, so that no page can count on them."""

    binding: str = field(default_factory=_random_name)
    api: str = field(default_factory=_random_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageScripts:
    """The texts that the script is made of, read once."""

    bundle: str
    adapter: str

    def source(self, names: PageNames, *, inject_seconds: float, ready_seconds: float) -> str:
        """Return the script. It does nothing in frames and on blank pages."""
        config = {
            "binding": names.binding,
            "api": names.api,
            "injectMs": round(inject_seconds * 1000),
            "readyMs": round(ready_seconds * 1000),
            "slowestUpload": SLOWEST_UPLOAD,
            "longestUploadMs": round(LONGEST_UPLOAD * 1000),
        }
        return "\n".join(
            (
                "(() => {",
                "if (window !== window.top) return;",
                "if (/^(about|chrome-error):/.test(location.protocol)) return;",
                NO_SERVICE_WORKER,
                f"window.WPPConfig = {json.dumps(WAJS_CONFIG)};",
                self.bundle,
                ";",
                self.adapter,
                f"wafleetAdapter({json.dumps(config)}); }})();",
            )
        )


def read_scripts(bundle_path: Path) -> PageScripts:
    """Read the wa-js bundle and the adapter. Raises BundleMissing."""
    try:
        bundle = bundle_path.read_text("utf-8")
        adapter = "\n".join((PAGE / name).read_text("utf-8") for name in SCRIPTS)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleMissing(
            f"{error.filename if isinstance(error, OSError) else bundle_path} can't be read: "
            "run `make setup`, which installs it, or set the path of its bundle"
        ) from error
    if MARK not in bundle:
        raise BundleMissing(f"{bundle_path} is no wa-js bundle: run `make setup` again")
    return PageScripts(bundle=bundle, adapter=adapter)


def call_expression(
    names: PageNames, function: str, args: dict[str, object], *, file: bool = False
) -> str:
    """Return the JavaScript that calls the adapter; also without one it gives an answer.

    With `file` it is one for PageSession.evaluate_with_file, whose FILE it passes on.
    """
    absent = json.dumps(
        {"ok": False, "code": "not_connected", "message": "the page adapter does not run (yet)"}
    )
    api = f"globalThis[{json.dumps(names.api)}]"
    passed = f", {FILE}" if file else ""
    call = f"{api}({json.dumps(function)}, {json.dumps(args)}{passed})"
    return f"{api} ? {call} : {json.dumps(absent)}"
