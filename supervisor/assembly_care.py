"""Who gets which parts and which settings, continued: what comes in, janitor, memory actor."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from actors.browser.profile_care import ProfileCare
from actors.deps import InboundRules
from actors.janitor import FULL, JanitorActor, JanitorDeps, JanitorTimes
from actors.janitor_plan import JanitorRules, level_at
from actors.memory import MemoryActor, MemoryDeps
from actors.memory_events import MemoryRules
from actors.messages import Service
from storage.space import SpaceLevel
from supervisor.parts import now_ms, uniform
from supervisor.services import ServiceSpec

if TYPE_CHECKING:
    from pykka import ActorRef

    from config.settings import Settings
    from supervisor.parts import Parts

MB = 1_000_000


def profile_care(parts: Parts) -> ProfileCare:
    """Who takes turns in the directories of sessions; one for the whole node."""
    return ProfileCare(
        sessions=parts.data.sessions,
        limit=parts.settings.profile_limit_mb * MB,
        is_live=lambda session_id: parts.board.get(session_id) is not None,
    )


def inbound_rules(settings: Settings) -> InboundRules:
    """What sessions do with what comes in."""
    return InboundRules(
        fetch=settings.media_download,
        most_bytes=settings.media_max_mb * MB,
        at_once=settings.media_at_once,
        retry_after=settings.media_retry,
        reject_calls=settings.reject_calls,
    )


def janitor(parts: Parts, profiles: ProfileCare) -> ServiceSpec:
    """The service JANITOR. What it will find of a full disk counts from the first launch on."""
    settings = parts.settings
    rules = _janitor_rules(settings)
    free = shutil.disk_usage(parts.data.root).free
    parts.space.set(level_at(free, SpaceLevel.PLENTY, rules))
    if parts.space.level is SpaceLevel.FULL:
        parts.gate.close(FULL)
    deps = JanitorDeps(
        main=parts.main,
        store=parts.store,
        profiles=profiles,
        board=parts.board,
        usage=parts.usage,
        space=parts.space,
        gate=parts.gate,
        telemetry=parts.telemetry,
        rules=rules,
        times=JanitorTimes(
            look=settings.disk_interval,
            measure=settings.profile_interval,
            round=settings.cleaning_interval,
        ),
        root=parts.data.root,
        now_ms=now_ms,
        monotonic=time.monotonic,
        uniform=uniform,
    )

    def start(incarnation: int, root: ActorRef[Any]) -> ActorRef[Any]:
        return JanitorActor.start(
            child_id=Service.JANITOR.value, incarnation=incarnation, parent=root, deps=deps
        )

    return ServiceSpec(service=Service.JANITOR, start=start)


def memory(parts: Parts) -> ServiceSpec:
    """The service MEMORY."""
    settings = parts.settings
    budget = settings.memory_budget_mb
    deps = MemoryDeps(
        main=parts.main,
        store=parts.store,
        board=parts.board,
        usage=parts.usage,
        telemetry=parts.telemetry,
        rules=_memory_rules(settings),
        interval=settings.memory_interval,
        budget=None if budget is None else budget * MB,
        now_ms=now_ms,
        monotonic=time.monotonic,
        uniform=uniform,
    )

    def start(incarnation: int, root: ActorRef[Any]) -> ActorRef[Any]:
        return MemoryActor.start(
            child_id=Service.MEMORY.value, incarnation=incarnation, parent=root, deps=deps
        )

    return ServiceSpec(service=Service.MEMORY, start=start)


def _janitor_rules(settings: Settings) -> JanitorRules:
    return JanitorRules(
        limit=settings.profile_limit_mb * MB,
        low=settings.disk_low_mb * MB,
        full=settings.disk_full_mb * MB,
        margin=settings.disk_margin_mb * MB,
        pause=settings.profile_pause,
        grace=settings.orphan_grace,
    )


def _memory_rules(settings: Settings) -> MemoryRules:
    return MemoryRules(
        soft=settings.memory_soft_mb * MB,
        hard=settings.memory_hard_mb * MB,
        kill=settings.memory_kill_mb * MB,
        total=settings.memory_total_percent / 100,
        collect_pause=settings.memory_collect_pause,
        recycle_pause=settings.memory_recycle_pause,
        patience=settings.memory_patience,
        max_age=settings.session_max_age or None,
        quiet=settings.session_quiet,
        recovery=settings.recycle_patience,
    )
