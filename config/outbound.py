"""Settings of what wafleet connects to for its users: webhooks' endpoints, media by address."""

from __future__ import annotations

import ipaddress
from typing import Final

from pydantic import field_validator
from pydantic_settings import BaseSettings

from config.fields import Numbers, Seconds, Words, field, seconds

DAY: Final = 86400
MOST_RETRIES: Final = 30
SHORTEST_RETRY: Final = 0.01
RETRIES: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)


class OutboundSettings(BaseSettings):
    """A part of Settings."""

    outbound_private_networks: Words = field(
        (),
        "a list of networks such as 10.1.0.0/16",
        "Networks, otherwise forbidden, that webhooks and media by address may lead to.",
    )
    outbound_plain_http: bool = field(
        False, "true or false", "Let webhooks and media by address be http://, not only https://."
    )
    webhook_timeout: Seconds = seconds(
        15, 0.1, 120, "How long a webhook's endpoint may take to answer."
    )
    webhook_retries: Numbers = field(
        RETRIES,
        f"a list of at most {MOST_RETRIES} numbers of seconds from {SHORTEST_RETRY} to {7 * DAY}",
        "How long it takes, each time, until an event that a webhook did not take is sent again;"
        " after the last one it is a dead letter.",
    )
    webhook_patience: Seconds = seconds(
        5 * DAY,
        0,
        365 * DAY,
        "How long a webhook may fail without one success before it is disabled; 0 is for ever.",
    )

    @field_validator("outbound_private_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text)
        return value

    @field_validator("webhook_retries")
    @classmethod
    def _outbound_bounded(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        bounded = all(SHORTEST_RETRY <= pause <= 7 * DAY for pause in value)
        if len(value) > MOST_RETRIES or not bounded:
            raise ValueError("there are too many, or one is out of bounds")
        return value
