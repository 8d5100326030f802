"""What Chromium is started with: every argument, the user agent and the environment. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WHATSAPP_URL: Final = "https://web.whatsapp.com/"

QUIET: Final = (
    "--headless",
    "--disable-gpu",  # nobody looks at the page
    "--disable-software-rasterizer",  # no emulated GPU for WebGL either: 9 MB less per browser
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB, which crashes renderers
    "--disable-breakpad",  # no crash handler process: it would outlive us in a session of its own
    "--disable-crash-reporter",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",  # no update checks, no field trials
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-quic",  # one transport, which proxies and the simulator speak too
    "--disable-background-timer-throttling",  # WhatsApp's keep-alive must run although hidden
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",  # hangs are ours to judge
    # navigator.webdriver, which tells pages that WebDriver drives them: nothing here does
    "--disable-blink-features=AutomationControlled",
    "--disable-prompt-on-repost",
    "--disable-popup-blocking",
    "--mute-audio",
    "--hide-scrollbars",
    "--metrics-recording-only",
    "--no-service-autorun",
    "--password-store=basic",  # cookies must not depend on the keyring of one machine
    "--use-mock-keychain",
    "--force-color-profile=srgb",
    "--window-size=1280,800",
    "--lang=en-US",
)

DISABLED_FEATURES: Final = (
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "InterestFeedContentSuggestions",
    "MediaRouter",  # it opens sockets to look for screens in the local network
    "OptimizationHints",
    "Translate",
)

PASSED_ON: Final = frozenset(
    {
        "HOME",
        "PATH",
        "LANG",
        "LANGUAGE",
        "TZ",
        "LD_LIBRARY_PATH",
        "FONTCONFIG_PATH",
        "XDG_CACHE_HOME",
    }
)
"""Environment variables a browser gets to see; ours hold keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. `launch` and `open` bound the whole step, `call` and `send` one call of the page.

    A file that is sent gets the time of its upload on top of `send`.

    `inject` is how long WhatsApp's module loader may take after the document has loaded, `ready`
    how long wa-js may take from there; then PageLoaded says that they are missing. `copy` is how
    long a browser may stand still while its profile is copied, `beat` how long a sign of life may
    take, `note` how long a note to self may take to reach its ack, `media` how long the page may
    take to fetch a message's file.
    """

    launch: float = 30.0
    open: float = 60.0
    call: float = 15.0
    send: float = 60.0
    inject: float = 15.0
    ready: float = 20.0
    copy: float = 10.0
    beat: float = 4.0
    note: float = 15.0
    media: float = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserOptions:
    """How every browser of this process is started.

    `executable` None looks Chromium up. `host_resolver_rules` and `trusted_spki` lead WhatsApp's
    name to a simulator; both are None in production. `user_agent` None takes the real version.
    """

    bundle_path: Path
    executable: Path | None = None
    no_sandbox: bool = False
    extra_args: tuple[str, ...] = ()
    whatsapp_url: str = WHATSAPP_URL
    host_resolver_rules: str | None = None
    trusted_spki: str | None = None
    user_agent: str | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)


def arguments(
    options: BrowserOptions, *, executable: Path, version: str, profile: Path, sandbox: bool
) -> list[str]:
    """Return the full command line."""
    argv = [str(executable), *QUIET]
    argv.append(f"--disable-features={','.join(DISABLED_FEATURES)}")
    argv.append(f"--user-data-dir={profile.absolute()}")
    argv.append(f"--user-agent={user_agent(options, version)}")
    if not sandbox:
        argv.append("--no-sandbox")
    if options.host_resolver_rules:
        argv.append(f"--host-resolver-rules={options.host_resolver_rules}")
    if options.trusted_spki:
        argv.append(f"--ignore-certificate-errors-spki-list={options.trusted_spki}")
    argv += options.extra_args
    argv.append("--remote-debugging-pipe")  # descriptors 3 and 4; no port that others could use
    argv.append("about:blank")
    return argv


def environment(inherited: Mapping[str, str], tmp: Path) -> dict[str, str]:
    """Return the browser's environment: a few harmless variables and its own temporary folder."""
    env = {
        name: value
        for name, value in inherited.items()
        if name in PASSED_ON or name.startswith("LC_")
    }
    # Chromium looks for a session bus that a server does not have; an address that can't be parsed
    # ends the search at once.
    return {**env, "TMPDIR": str(tmp), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}


def user_agent(options: BrowserOptions, version: str) -> str:
    """Return the user agent of a desktop Chrome of this version, in Chrome's reduced form."""
    if options.user_agent is not None:
        return options.user_agent
    return (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{_major(version)}.0.0.0 Safari/537.36"
    )


def user_agent_override(options: BrowserOptions, version: str) -> dict[str, Any]:
    """Return the parameters of Emulation.setUserAgentOverride: text and client hints agree."""
    major = _major(version)
    brands = (("Chromium", major, version), ("Google Chrome", major, version))
    grease = ("Not=A?Brand", "24", "24.0.0.0")
    return {
        "userAgent": user_agent(options, version),
        "acceptLanguage": "en-US,en",
        "platform": "Linux x86_64",
        "userAgentMetadata": {
            "brands": [{"brand": n, "version": short} for n, short, _ in (*brands, grease)],
            "fullVersionList": [{"brand": n, "version": full} for n, _, full in (*brands, grease)],
            "fullVersion": version,
            "platform": "Linux",
            "platformVersion": "6.1.0",
            "architecture": "x86",
            "bitness": "64",
            "model": "",
            "mobile": False,
            "wow64": False,
        },
    }


def _major(version: str) -> str:
    return version.split(".", 1)[0]
