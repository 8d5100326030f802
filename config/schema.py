"""Every setting with its default, bounds, unit and one sentence that says what it is."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import PrivateAttr, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.broadcast import BroadcastSettings
from config.capacity import CapacitySettings
from config.care import CareSettings
from config.delivery import DeliverySettings
from config.fields import Count, Place, Seconds, Text, Words, count, field, seconds
from config.health import HealthSettings
from config.inbound import InboundSettings
from config.outbound import OutboundSettings
from config.safekeeping import SafekeepingSettings
from config.sending import SendingSettings
from config.sources import PREFIX, Written
from config.streams import StreamSettings

if TYPE_CHECKING:
    from pydantic import ValidationInfo
    from pydantic_settings import PydanticBaseSettingsSource

SHORTEST_API_KEY: Final = 16
MOST_QR_WINDOWS: Final = 5
QR_PERIOD: Final = 3600.0
MOST_SENDS: Final = {"send_per_minute": 20, "send_per_hour": 500, "send_per_day": 5000}
_SIMULATED_SENDS: Final = 10_000_000
_DAY: Final = 86_400
_SPKI: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


def _sends(window: str) -> Any:
    most = MOST_SENDS[f"send_per_{window}"]
    return field(
        most,
        f"a whole number from 1 to {most} (to {_SIMULATED_SENDS} with a simulator)",
        f"How many messages a phone number may send in any {window}, with all its sessions.",
    )


class Settings(
    BroadcastSettings,
    CapacitySettings,
    CareSettings,
    DeliverySettings,
    HealthSettings,
    InboundSettings,
    OutboundSettings,
    SafekeepingSettings,
    SendingSettings,
    StreamSettings,
    BaseSettings,
):
    """Every setting, frozen. Durations are in seconds. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        validate_default=True,
        hide_input_in_errors=True,
    )

    data_dir: Place = field(
        Path("data"), "a directory", "Where the database and the browser profiles are kept."
    )

    api_allow_remote: bool = field(
        False, "true or false", "Let the API listen on an address other machines can reach."
    )
    api_host: Text = field(
        "127.0.0.1",
        "an IP address or localhost; one that is not loopback needs api_allow_remote = true",
        "The address that the API listens on.",
    )
    api_port: Count = count(8480, 0, 65535, "The TCP port of the API; 0 takes any free one.")
    api_key: SecretStr | None = field(
        None,
        f"at least {SHORTEST_API_KEY} characters without spaces",
        "The key that every API call carries as a bearer token.",
    )
    max_body_bytes: Count = count(
        1024 * 1024,
        1024,
        16 * 1024 * 1024,
        "The largest request body that the API reads, in bytes.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = field(
        "info", "debug, info, warning or error", "The least severe level that is logged."
    )
    log_format: Literal["auto", "json", "console"] = field(
        "auto", "auto, json or console", "How log lines look; auto is console on a terminal."
    )

    chromium_path: Place | None = field(
        None,
        "the path of an executable",
        "The Chromium to run; unset searches chromium-headless-shell, then chromium.",
    )
    chromium_no_sandbox: bool | None = field(
        None, "true or false", "Run Chromium without its sandbox; unset does so only for root."
    )
    chromium_extra_args: Words = field(
        (),
        "a list of arguments that each start with --",
        "More arguments for Chromium, after wafleet's own.",
    )

    wajs_bundle: Place | None = field(
        None,
        "the path of wppconnect-wa.js",
        "The wa-js bundle to inject; unset takes the one that npm installed beside wafleet.",
    )
    whatsapp_url: Text = field(
        "https://web.whatsapp.com", "an https:// address", "The address of WhatsApp Web."
    )
    host_resolver_rules: Text | None = field(
        None,
        "Chromium host resolver rules, such as MAP web.whatsapp.com 127.0.0.1:8443",
        "Sends the browsers to a simulator instead of WhatsApp; needs trusted_spki.",
    )
    trusted_spki: Text | None = field(
        None,
        "a SHA-256 public key hash in base64 (44 characters), set together with"
        " host_resolver_rules",
        "The simulator's certificate that the browsers accept; needs host_resolver_rules.",
    )
    user_agent: Text | None = field(
        None, "one line of text", "The browsers' user agent; unset derives it from Chromium's."
    )

    launch_timeout: Seconds = seconds(30, 1, 600, "How long a browser may take to start.")
    open_timeout: Seconds = seconds(60, 1, 600, "How long WhatsApp Web may take to load.")
    call_timeout: Seconds = seconds(30, 1, 600, "How long a page may take to answer a call.")
    send_timeout: Seconds = seconds(
        60,
        1,
        600,
        "How long a send waits for WhatsApp's ack; with a file by a second longer for every"
        " 128 KiB of it.",
    )
    sync_timeout: Seconds = seconds(120, 1, 3600, "How long a login may take to finish syncing.")
    socket_timeout: Seconds = seconds(
        60, 1, 3600, "How long WhatsApp Web may stay offline before its browser is restarted."
    )
    stop_timeout: Seconds = seconds(
        30, 1, 600, "How long a browser may take to close before it is killed."
    )
    shutdown_timeout: Seconds = seconds(
        40, 1, 900, "How long all sessions together may take to stop when wafleet ends."
    )
    busy_timeout: Seconds = seconds(
        5, 0.01, 300, "How long a write waits while another program locks the database."
    )

    qr_code_timeout: Seconds = seconds(
        90, 1, 3600, "How long one QR code may stay on show without a scan or a newer code."
    )
    qr_codes_per_window: Count = count(
        5, 1, 100, "How many QR codes are shown before an unscanned session gives up."
    )
    qr_windows: Count = field(
        MOST_QR_WINDOWS,
        f"a whole number from 1 to {MOST_QR_WINDOWS} (to 100 with a simulator)",
        "How many QR windows a session may open within qr_period.",
    )
    qr_period: Seconds = field(
        QR_PERIOD,
        f"a number of seconds from {QR_PERIOD:g} (from 0.1 with a simulator) to 86400",
        "The period over which a session's QR windows are counted.",
    )
    send_per_minute: Count = _sends("minute")
    send_per_hour: Count = _sends("hour")
    send_per_day: Count = _sends("day")
    launch_slots: Count = count(2, 1, 64, "How many browsers may be starting at the same time.")

    kek: SecretStr | None = field(
        None,
        "a keyring: id:base64 of 32 bytes, several separated by commas, the current one last",
        "The keys that archives and secrets are encrypted with, instead of kek_file.",
    )
    kek_file: Place | None = field(
        None,
        "the path of a key file of mode 0600",
        "The file with these keys; unset takes keys/kek in data_dir, made on the first run.",
    )
    archive_generations: Count = count(
        3, 1, 100, "How many archives of each session's login are kept."
    )
    archive_delay: Seconds = seconds(
        60, 0, 86400, "How long after it connected a session's login is first archived."
    )
    archive_interval: Seconds = seconds(
        21600, 1, 604800, "How long it takes until a connected session is archived again."
    )

    retention_interval: Seconds = seconds(
        3600,
        1,
        604800,
        "How long it takes until what outlived its workspace's times to live is removed again.",
    )

    restart_intensity: Count = count(
        5, 1, 1000, "How many crashes of one session within restart_period quarantine it."
    )
    restart_period: Seconds = seconds(
        300, 1, 86400, "The period over which a session's crashes are counted."
    )
    restart_backoff_first: Seconds = seconds(
        1, 0.01, 3600, "The longest pause before the first restart; it doubles with each crash."
    )
    restart_backoff_max: Seconds = seconds(
        60, 0.01, 86400, "The longest pause before any restart; at least restart_backoff_first."
    )
    stable_after: Seconds = seconds(
        300, 1, 86400, "How long a session must stay connected for its crashes to be forgotten."
    )
    quarantine: Seconds = seconds(
        900, 1, 604800, "How long a session that crashed too often rests before it is tried again."
    )
    fleet_intensity: Count = count(
        20, 1, 10000, "How many crashes of all sessions within fleet_period stop new starts."
    )
    fleet_period: Seconds = seconds(
        60, 1, 86400, "The period over which the crashes of all sessions are counted."
    )

    stuck_after: Seconds = seconds(
        10, 0.1, 3600, "How long an actor may work on one message before an alarm is raised."
    )

    _written: dict[str, Written] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load_settings reads the sources itself: it must know where each value was written, and
        # refuse unknown variables. Settings(...) alone is therefore free of surprises, too.
        return (init_settings,)

    @field_validator("data_dir", "chromium_path", "wajs_bundle", "kek_file")
    @classmethod
    def _whole_path(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        if not str(value).isprintable():
            raise ValueError("it holds control characters")
        try:
            return value.expanduser().absolute()
        except RuntimeError as error:  # raised for the home of a user that does not exist
            raise ValueError("there is no such home directory") from error

    @field_validator("api_host")
    @classmethod
    def _reachable_on_purpose(cls, value: str, info: ValidationInfo) -> str:
        loopback = value == "localhost" or ipaddress.ip_address(value).is_loopback
        if not loopback and info.data.get("api_allow_remote") is False:
            raise ValueError("other machines could reach it")
        return value

    @field_validator("api_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        text = None if value is None else value.get_secret_value()
        if text is not None and (len(text) < SHORTEST_API_KEY or not _visible_ascii(text)):
            raise ValueError("it is too short or holds spaces")
        return value

    @field_validator("chromium_extra_args")
    @classmethod
    def _all_flags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(word.startswith("--") for word in value):
            raise ValueError("an argument does not start with --")
        return value

    @field_validator("whatsapp_url")
    @classmethod
    def _https(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.username is not None:
            raise ValueError("it is not an https address")
        return value

    @field_validator("trusted_spki")
    @classmethod
    def _simulator_pair(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not _SPKI.fullmatch(value):
            raise ValueError("it is not a SHA-256 hash in base64")
        rules = info.data.get("host_resolver_rules", value)  # absent: it has a problem of its own
        if (value is None) != (rules is None):
            raise ValueError("only one of host_resolver_rules and trusted_spki is set")
        return value

    @field_validator("user_agent")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("it holds control characters")
        return value

    @field_validator("qr_windows", "qr_period")
    @classmethod
    def _no_laxer_for_whatsapp(cls, value: float, info: ValidationInfo) -> float:
        simulated = info.data.get("trusted_spki") is not None
        if info.field_name == "qr_windows":
            fits = 1 <= value <= (100 if simulated else MOST_QR_WINDOWS)
        else:
            fits = (0.1 if simulated else QR_PERIOD) <= value <= _DAY
        if not fits:
            raise ValueError("WhatsApp blocks numbers that ask for too many codes")
        return value

    @field_validator(*MOST_SENDS)
    @classmethod
    def _within_the_caps(cls, value: int, info: ValidationInfo) -> int:
        simulated = info.data.get("trusted_spki") is not None
        most = _SIMULATED_SENDS if simulated else MOST_SENDS[str(info.field_name)]
        if not 1 <= value <= most:
            raise ValueError("WhatsApp blocks numbers that send too much")
        return value

    @field_validator("restart_backoff_max")
    @classmethod
    def _not_below_the_first(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("restart_backoff_first", 0):
            raise ValueError("it is less than restart_backoff_first")
        return value


def _visible_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
