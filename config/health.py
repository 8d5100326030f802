"""Settings of the sessions' health: how often it is asked after, and what is done about it."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings

from config.fields import Count, Seconds, count, field, seconds


class HealthSettings(BaseSettings):
    """Part of Settings."""

    health_interval: Seconds = seconds(
        120,
        0.1,
        86400,
        "How old the last evidence from WhatsApp's server may become before a connected session"
        " has to prove itself by a note to self.",
    )
    probe_timeout: Seconds = seconds(
        15,
        0.05,
        600,
        "How long the note may take to be acknowledged; never more than a third of"
        " health_interval.",
    )
    heartbeat_interval: Seconds = seconds(
        5, 0.05, 3600, "How long it takes until a browser and its page are asked again."
    )
    heartbeat_timeout: Seconds = seconds(
        4, 0.05, 600, "How long they may take to answer; two answers missed mean that they hang."
    )
    ack_timeout: Seconds = seconds(
        30,
        0.1,
        3600,
        "How long an own message may be without WhatsApp's ack before its session is called"
        " degraded; after twice that time its browser is restarted.",
    )
    page_reloads: Count = count(
        3,
        0,
        100,
        "How often a page is loaded again within page_reload_period; then its browser is.",
    )
    page_reload_period: Seconds = seconds(
        300, 1, 86400, "The period over which a session's page reloads are counted."
    )
    snapshot_after: Count = count(
        3,
        1,
        100,
        "How many restarts in a row for the same cause it takes to restore the last archive.",
    )
    conflict_policy: Literal["yield", "take_over"] = field(
        "yield",
        "yield or take_over",
        "What to do when another window takes a session's login over: leave it, or take it back.",
    )
    conflict_take_overs: Count = count(
        3, 1, 100, "How often within an hour a login is taken back before it is left."
    )
