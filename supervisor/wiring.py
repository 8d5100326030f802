"""Small translations from settings to what adapters want."""

from __future__ import annotations

import ipaddress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.browser.launch_args import BrowserOptions, Deadlines
from actors.browser.launcher import ChromiumDriver
from actors.net_guard import NetRules
from api.event_stream import StreamRules
from api.ports import Broadcasts
from api.pusher import PusherApp, PusherDriver
from supervisor.parts import now_ms, uniform

if TYPE_CHECKING:
    from config.settings import Settings

VERSION: Final = version("wafleet")
ROOT: Final = Path(__file__).resolve().parent.parent
BUNDLE: Final = ROOT / "node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"


def note_timeout(settings: Settings) -> float:
    """Return how long a note to self may take: most of the interval has to go before it."""
    return min(settings.probe_timeout, settings.health_interval / 3)


def net_rules(settings: Settings) -> NetRules:
    """Return what users may have us connect to."""
    return NetRules(
        private=tuple(ipaddress.ip_network(text) for text in settings.outbound_private_networks),
        plain_http=settings.outbound_plain_http,
    )


def stream_rules(settings: Settings) -> StreamRules:
    """Return what streams of events keep to."""
    return StreamRules(
        heartbeat=settings.stream_heartbeat,
        write=settings.stream_write_timeout,
        room=settings.stream_room,
        ping=settings.stream_ping,
        goodbye=settings.stream_goodbye_timeout,
        shutdown=settings.stream_shutdown_timeout,
        most=settings.max_streams,
        most_per_workspace=settings.max_workspace_streams,
    )


def browser_driver(settings: Settings) -> ChromiumDriver:
    """Return the driver that these settings describe."""
    return ChromiumDriver(
        BrowserOptions(
            bundle_path=settings.wajs_bundle or BUNDLE,
            executable=settings.chromium_path,
            no_sandbox=bool(settings.chromium_no_sandbox),
            extra_args=settings.chromium_extra_args,
            whatsapp_url=settings.whatsapp_url,
            host_resolver_rules=settings.host_resolver_rules,
            trusted_spki=settings.trusted_spki,
            user_agent=settings.user_agent,
            deadlines=Deadlines(
                launch=settings.launch_timeout,
                open=settings.open_timeout,
                call=settings.call_timeout,
                send=settings.send_timeout,
                beat=settings.heartbeat_timeout,
                note=note_timeout(settings),
                media=settings.media_timeout,
            ),
        )
    )


def broadcasts(settings: Settings) -> Broadcasts | None:
    """Return how front ends are told of changes; None if they are not."""
    if settings.broadcast_driver == "none":
        return None
    app = PusherApp(
        url=settings.pusher_url or "",
        app_id=settings.pusher_app_id or "",
        key=settings.pusher_key or "",
        secret=settings.pusher_secret.get_secret_value() if settings.pusher_secret else "",
    )
    driver = PusherDriver(app, timeout=settings.broadcast_timeout, now_ms=now_ms)
    return Broadcasts(driver=driver, with_qr=settings.broadcast_qr, uniform=uniform)
