"""Settings of the broadcasts: what front ends in browsers are told through a Pusher server."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator
from pydantic_settings import BaseSettings

from config.fields import Seconds, Text, field, seconds

if TYPE_CHECKING:
    from pydantic import ValidationInfo

_WITH = "needed with broadcast_driver = pusher"


class BroadcastSettings(BaseSettings):
    """A part of Settings."""

    broadcast_driver: Literal["none", "pusher"] = field(
        "none",
        "none or pusher",
        "Tells front ends of session states and QR codes: not at all, or through a server that"
        " speaks the Pusher protocol (Pusher Channels, Laravel Reverb, Soketi).",
    )
    broadcast_qr: bool = field(
        True,
        "true or false",
        "Broadcast QR codes, too; whoever runs the Pusher server could link a phone with them.",
    )
    broadcast_timeout: Seconds = seconds(
        10, 0.1, 120, "How long the Pusher server may take to answer before it is asked again."
    )
    pusher_allow_plain: bool = field(
        False, "true or false", "Let pusher_url be http:// to another machine."
    )
    pusher_url: Text | None = field(
        None,
        f"an https:// address, http:// only on this machine or with pusher_allow_plain; {_WITH}",
        "The address of the Pusher server's HTTP API, such as https://api-eu.pusher.com.",
    )
    pusher_app_id: Text | None = field(
        None, f"letters, digits, - and _; {_WITH}", "The id of the Pusher app."
    )
    pusher_key: Text | None = field(
        None, f"letters, digits, - and _; {_WITH}", "The public key of the Pusher app."
    )
    pusher_secret: SecretStr | None = field(
        None, f"the app's secret; {_WITH}", "The secret of the Pusher app."
    )

    @field_validator("pusher_url")
    @classmethod
    def _pusher_server(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return value
        parts = urlsplit(value)
        _ = parts.port  # raises a ValueError for one that can't be
        plain_allowed = info.data.get("pusher_allow_plain") is True or _is_here(parts.hostname)
        schemes = {"https", "http"} if plain_allowed else {"https"}
        bare = parts.username is None and not parts.query and not parts.fragment
        if parts.scheme not in schemes or not parts.hostname or not bare:
            raise ValueError("it is not such an address")
        return value.rstrip("/")

    @field_validator("pusher_app_id", "pusher_key")
    @classmethod
    def _one_word(cls, value: str | None) -> str | None:
        if value is not None and not value.replace("-", "").replace("_", "").isalnum():
            raise ValueError("it holds other characters")
        return value

    @field_validator("pusher_secret")
    @classmethod
    def _not_empty(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            raise ValueError("it is empty")
        return value

    @field_validator("pusher_url", "pusher_app_id", "pusher_key", "pusher_secret")
    @classmethod
    def _complete(
        cls, value: str | SecretStr | None, info: ValidationInfo
    ) -> str | SecretStr | None:
        if value is None and info.data.get("broadcast_driver") == "pusher":
            raise ValueError("the driver needs it")
        return value


def _is_here(host: str | None) -> bool:
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
