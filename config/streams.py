"""Settings of the streams of events: how long their clients may take, and how many there may be."""

from __future__ import annotations

from pydantic_settings import BaseSettings

from config.fields import Count, Seconds, count, seconds


class StreamSettings(BaseSettings):
    """A part of Settings."""

    stream_heartbeat: Seconds = seconds(
        15,
        0.1,
        600,
        "How often a stream of events shows that it lives, and its key is checked again.",
    )
    stream_write_timeout: Seconds = seconds(
        10,
        0.1,
        600,
        "How long a stream's client may take to make room for more; then it is cut off.",
    )
    stream_room: Count = count(
        2000, 1, 100_000, "How many events may wait for a slow stream; with more it is cut off."
    )
    stream_ping: Seconds = seconds(
        20,
        0.1,
        600,
        "How often a WebSocket's client is pinged; it may take half of that to answer.",
    )
    stream_goodbye_timeout: Seconds = seconds(
        5, 0.1, 60, "How long a stream's client may take to be told why its stream ends."
    )
    stream_shutdown_timeout: Seconds = seconds(
        2, 0.1, 60, "How long all streams together may take to end when wafleet stops."
    )
    max_streams: Count = count(
        500, 1, 100_000, "How many streams of events may be open at the same time."
    )
    max_workspace_streams: Count = count(
        100, 1, 100_000, "How many of them may be of one workspace; max_streams holds all the same."
    )
