"""Who gets which parts and which settings: the deps of every actor, from Parts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from actors.archive_plan import ArchiveTimes
from actors.caps import Caps, Pace
from actors.delivery import DeliveryRules, UnknownPolicy
from actors.deps import SessionDeps, SessionTimeouts
from actors.fetching import MediaDesk
from actors.health_book import HealthBook
from actors.health_state import HealthRules
from actors.limiter import LimiterActor, LimiterDeps
from actors.limiter_plan import MARGIN_MS, Limit
from actors.machine import Machine
from actors.messages import Service
from actors.outages import RepairPolicy
from actors.pool import PoolActor, PoolDeps
from actors.pool_plan import Rules
from actors.pressure import Mark, Marks, Needs
from actors.session import SessionActor
from actors.state import Limits
from supervisor import descriptors
from supervisor.assembly_care import inbound_rules, janitor, memory, profile_care
from supervisor.clerk import Clerk
from supervisor.deps import FleetDeps
from supervisor.keeper import Keeper
from supervisor.parts import instant, new_wa_id, now_ms, uniform
from supervisor.restarts import FusePolicy, RestartPolicy
from supervisor.safekeeping import Safekeeper
from supervisor.services import ServiceSpec
from supervisor.wiring import note_timeout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pykka import ActorRef

    from actors.browser.profile_care import ProfileCare
    from actors.service import ServiceActor
    from config.settings import Settings
    from storage.snapshots import Snapshots
    from supervisor.parts import Parts
    from supervisor.services import Door

MB: Final = 1024 * 1024


def session_deps(parts: Parts, profiles: ProfileCare) -> SessionDeps:
    """What every session actor is given."""
    settings, rules = parts.settings, inbound_rules(parts.settings)
    return SessionDeps(
        main=parts.main,
        browsers=parts.browsers,
        store=parts.store,
        grants=parts.grants,
        outgoing=parts.outgoing,
        secrets=parts.secrets,
        limiter=parts.limiter,
        bells=parts.bells,
        archives=parts.archives,
        archive_times=ArchiveTimes(
            delay=settings.archive_delay, interval=settings.archive_interval
        ),
        profiles=profiles,
        inbound=rules,
        desk=MediaDesk(
            media=parts.media,
            store=parts.store,
            browsers=parts.browsers,
            rules=rules,
            now_ms=now_ms,
        ),
        health=HealthBook(),
        health_rules=_health_rules(parts),
        driver=parts.driver,
        board=parts.board,
        telemetry=parts.telemetry,
        limits=Limits(
            open_timeout=settings.open_timeout,
            sync_timeout=settings.sync_timeout,
            socket_timeout=settings.socket_timeout,
            qr_code_timeout=settings.qr_code_timeout,
            qr_codes_per_window=settings.qr_codes_per_window,
        ),
        delivery=DeliveryRules(
            unknown_policy=UnknownPolicy(settings.unknown_policy),
            pending=settings.pending_timeout,
            typing=settings.typing_before_reply,
        ),
        timeouts=SessionTimeouts(
            launch=settings.launch_timeout,
            open=settings.open_timeout,
            call=settings.call_timeout,
            send=settings.send_timeout,
            stop=settings.stop_timeout,
            beat=settings.heartbeat_timeout,
            note=note_timeout(settings),
        ),
        paths=parts.data.paths,
        new_wa_id=new_wa_id,
        now_ms=now_ms,
        monotonic=time.monotonic,
        uniform=uniform,
    )


def _health_rules(parts: Parts) -> HealthRules:
    settings = parts.settings
    takes_over = settings.conflict_policy == "take_over"
    return HealthRules(
        interval=settings.health_interval,
        probe=note_timeout(settings),
        heartbeat=settings.heartbeat_interval,
        ack=settings.ack_timeout,
        policy=RepairPolicy(
            reloads=settings.page_reloads,
            reload_period=settings.page_reload_period,
            snapshot_after=settings.snapshot_after,
            pause=settings.health_interval,
            take_overs=settings.conflict_take_overs if takes_over else 0,
        ),
    )


def services(parts: Parts, profiles: ProfileCare) -> Sequence[ServiceSpec]:
    """The permanent children beside the sessions, in the order of their start."""
    pool = PoolDeps(
        main=parts.main,
        rules=pool_rules(parts.settings),
        look=Machine().look,
        telemetry=parts.telemetry,
        monotonic=time.monotonic,
    )
    limiter = LimiterDeps(
        main=parts.main,
        grants=parts.grants,
        store=parts.store,
        limit=qr_limit(parts.settings),
        caps=send_caps(parts.settings),
        book=parts.limiter.book,
        instant=instant,
        telemetry=parts.telemetry,
    )
    return (
        service_spec(Service.LIMITER, LimiterActor, limiter, parts.limiter),
        service_spec(Service.POOL, PoolActor, pool),
        janitor(parts, profiles),
        memory(parts),
    )


def qr_limit(settings: Settings) -> Limit:
    """How often a session may open a QR window."""
    return Limit(most=settings.qr_windows, period_ms=round(settings.qr_period * 1000) + MARGIN_MS)


def check_limit(settings: Settings) -> Limit:
    """How often a session may look up whether a number is on WhatsApp."""
    return _capped(settings.contact_checks_per_hour, 3600)


def send_caps(settings: Settings) -> Caps:
    """What a phone number may send, and how fast."""
    return Caps(
        minute=_capped(settings.send_per_minute, 60),
        hour=_capped(settings.send_per_hour, 3600),
        day=_capped(settings.send_per_day, 86_400),
        warm_up=settings.warm_up,
        pace=Pace(
            delay_ms=round(settings.send_delay * 1000),
            growth=settings.send_delay_growth,
            jitter_ms=round(settings.send_jitter * 1000),
            first_contact_ms=round(settings.first_contact_delay * 1000),
        ),
    )


def _capped(most: int, seconds: int) -> Limit:
    return Limit(most=most, period_ms=seconds * 1000 + MARGIN_MS)


def service_spec(
    service: Service, actor: type[ServiceActor], deps: Any, door: Door | None = None
) -> ServiceSpec:
    """How to start a service whose actor is given its deps."""

    def start(incarnation: int, root: ActorRef[Any]) -> ActorRef[Any]:
        return actor.start(child_id=service.value, incarnation=incarnation, parent=root, deps=deps)

    return ServiceSpec(service=service, start=start, door=door)


def pool_rules(settings: Settings) -> Rules:
    """What the pool keeps to."""
    return Rules(
        most=settings.max_sessions,
        slots=settings.launch_slots,
        interval=settings.pressure_interval,
        needs=Needs(
            browser_bytes=settings.browser_memory_mb * MB,
            reserve_bytes=settings.memory_reserve_mb * MB,
            session_descriptors=descriptors.SESSION,
            reserve_descriptors=descriptors.RESERVE,
            browser_descriptors=descriptors.BROWSER,
        ),
        marks=Marks(
            cpu_pressure=Mark(high=settings.cpu_pressure_high, low=settings.cpu_pressure_low),
            memory_pressure=Mark(
                high=settings.memory_pressure_high, low=settings.memory_pressure_low
            ),
            load=Mark(high=settings.load_high, low=settings.load_low),
            memory_used=Mark(high=settings.memory_used_high, low=settings.memory_used_low),
        ),
    )


def fleet_deps(parts: Parts) -> FleetDeps:
    """What the root supervisor is given."""
    settings, profiles = parts.settings, profile_care(parts)
    deps = session_deps(parts, profiles)

    def start_child(session_id: str, incarnation: int, parent: ActorRef[Any]) -> ActorRef[Any]:
        return SessionActor.start(
            child_id=session_id, incarnation=incarnation, parent=parent, deps=deps
        )

    return FleetDeps(
        main=parts.main,
        clerk=Clerk(
            store=parts.store,
            archives=parts.archives,
            directory=parts.data.session,
            now_ms=now_ms,
            holding=profiles.holding,
        ),
        board=parts.board,
        telemetry=parts.telemetry,
        start_child=start_child,
        services=services(parts, profiles),
        restart=RestartPolicy(
            intensity=settings.restart_intensity,
            period=settings.restart_period,
            first=settings.restart_backoff_first,
            longest=settings.restart_backoff_max,
            stable_after=settings.stable_after,
        ),
        fuse=FusePolicy(intensity=settings.fleet_intensity, period=settings.fleet_period),
        quarantine=settings.quarantine,
        uniform=uniform,
        monotonic=time.monotonic,
        now_ms=now_ms,
        gate=parts.gate,
        recycle_patience=settings.recycle_patience,
    )


def keeper(parts: Parts) -> Keeper:
    """What keeps to the workspaces' times to live."""
    return Keeper(
        privacy=parts.privacy,
        media=parts.media,
        telemetry=parts.telemetry,
        interval=parts.settings.retention_interval,
        now_ms=now_ms,
        uniform=uniform,
    )


def safekeeper(parts: Parts, snapshots: Snapshots) -> Safekeeper:
    """What keeps snapshots of the database."""
    return Safekeeper(
        snapshots=snapshots,
        telemetry=parts.telemetry.safekeeping,
        interval=parts.settings.snapshot_interval,
        now_ms=now_ms,
        monotonic=time.monotonic,
        uniform=uniform,
        space=parts.space,
    )
