"""`wafleet workspaces` and `wafleet plans`: the tenants of this node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from storage.tenants import DEFAULT, PlanLimits, Retention
from supervisor.admin import tenancy
from supervisor.admin.console import (
    ConfigFile,
    print_table,
    problems,
    settings_or_exit,
    with_store,
)
from supervisor.admin.errors import ArgumentInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

workspaces = typer.Typer(no_args_is_help=True, help="Workspaces: the tenants of this node.")
plans = typer.Typer(no_args_is_help=True, help="Subscription plans and their limits.")


@workspaces.command("create")
def workspaces_create(
    name: str,
    plan: Annotated[str, typer.Option(help="The name of its plan.")] = DEFAULT,
    config: ConfigFile = None,
) -> None:
    """Make a workspace."""
    with problems():
        made = with_store(
            settings_or_exit(config), lambda store: tenancy.create_workspace(store, name, plan)
        )
    typer.echo(f"The workspace {made.name} is made: {made.id}")


@workspaces.command("list")
def workspaces_list(config: ConfigFile = None) -> None:
    """Show the workspaces, and what they use of their plans."""
    with problems():
        listed = with_store(settings_or_exit(config), tenancy.list_workspaces)
    print_table(
        ("id", "name", "plan", "sessions", "messages today", "kept"),
        [
            (
                one.workspace.id,
                one.workspace.name,
                one.usage.plan,
                _of(one.usage.sessions, one.usage.limits.sessions),
                _of(one.usage.messages, one.usage.limits.messages),
                _kept(one.workspace.retention),
            )
            for one in listed
        ],
    )


@workspaces.command("set")
def workspaces_set(
    name: str,
    plan: Annotated[str | None, typer.Option(help="The name of its plan.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="messages=90d, media=30d or events=none; those not named: for ever."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Put a workspace on another plan, or set how long it keeps things."""
    with problems():
        retention = None if keep is None else _retention(keep)
        changed = with_store(
            settings_or_exit(config),
            lambda store: tenancy.change_workspace(store, name, plan=plan, retention=retention),
        )
    typer.echo(f"{changed.name}: plan {changed.plan}, kept: {_kept(changed.retention)}")


def _retention(words: Sequence[str]) -> Retention:
    found: dict[str, int | None] = {}
    for word in words:
        what, _, text = word.partition("=")
        if what not in {"messages", "media", "events"}:
            raise ArgumentInvalid("--keep is messages=…, media=… or events=….")
        lasts = None if text == "none" else tenancy.parse_duration(text, name=f"--keep {what}")
        found[f"{what}_ms"] = lasts
    return Retention(**found)


@plans.command("set")
def plans_set(
    name: str,
    sessions: Annotated[int | None, typer.Option(min=0, help="Unset is no limit.")] = None,
    messages: Annotated[int | None, typer.Option(min=0, help="A day; unset is no limit.")] = None,
    webhooks: Annotated[int | None, typer.Option(min=0, help="Unset is no limit.")] = None,
    config: ConfigFile = None,
) -> None:
    """Make a plan, or replace its limits; what exists beyond them stays."""
    limits = PlanLimits(sessions=sessions, messages=messages, webhooks=webhooks)
    with problems():
        plan = with_store(
            settings_or_exit(config), lambda store: tenancy.set_plan(store, name, limits)
        )
    typer.echo(f"The plan {plan.name} is set.")


@plans.command("list")
def plans_list(config: ConfigFile = None) -> None:
    """Show the plans and their limits."""
    with problems():
        found = with_store(settings_or_exit(config), lambda store: store.plans())
    print_table(
        ("name", "sessions", "messages a day", "webhooks"),
        [
            (
                p.name,
                _limit(p.limits.sessions),
                _limit(p.limits.messages),
                _limit(p.limits.webhooks),
            )
            for p in found
        ],
    )


def _limit(limit: int | None) -> str:
    return "no limit" if limit is None else str(limit)


def _of(used: int, limit: int | None) -> str:
    return str(used) if limit is None else f"{used} of {limit}"


def _kept(retention: Retention) -> str:
    times: Mapping[str, int | None] = {
        "messages": retention.messages_ms,
        "media": retention.media_ms,
        "events": retention.events_ms,
    }
    words = [f"{what} {ms / 86_400_000:g} d" for what, ms in times.items() if ms is not None]
    return ", ".join(words) or "for ever"
