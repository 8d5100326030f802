"""Settings of the snapshots that a node keeps of its own database."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from config.fields import Count, Seconds, count, seconds


class SafekeepingSettings(BaseSettings):
    """A part of Settings."""

    snapshot_interval: Seconds = seconds(
        3600,
        1,
        604800,
        "How long it takes until the database is copied to snapshots/ again; a start that finds it"
        " damaged goes back to the newest copy.",
    )
    snapshots_kept: Count = count(3, 1, 100, "How many snapshots of the database are kept.")
