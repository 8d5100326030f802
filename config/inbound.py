"""Settings of what comes in: files of messages, calls. A MB is 1,000,000 bytes."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from config.fields import Count, Seconds, count, field, seconds


class InboundSettings(BaseSettings):
    """A part of Settings."""

    media_download: bool = field(
        True, "true or false", "Fetch the files of contacts' messages, and keep them encrypted."
    )
    media_max_mb: Count = count(
        64,
        1,
        2000,
        "The largest file of a message that is fetched, in MB.",
    )
    media_at_once: Count = count(2, 1, 64, "How many files are fetched at the same time.")
    media_timeout: Seconds = seconds(
        120, 1, 3600, "How long a page may take to get a message's file from WhatsApp."
    )
    media_retry: Seconds = seconds(
        60, 0.05, 86400, "How long it takes until a file that could not be fetched is tried again."
    )
    reject_calls: bool = field(False, "true or false", "Reject calls; they are told in any case.")
