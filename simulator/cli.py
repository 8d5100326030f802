"""The command line of the simulator; also mounted in the product's own command line."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from simulator.errors import SimulatorError
from simulator.jid import check_number
from simulator.options import AccountSeed, ContactSeed, Reply, SimulatorOptions
from simulator.server import Simulator


def simulate(
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes any free one.")] = 0,
    control_port: Annotated[int, typer.Option(help="Port of the control API; 0 any.")] = 0,
    state: Annotated[Path | None, typer.Option(help="File that keeps the state.")] = None,
    log: Annotated[Path | None, typer.Option(help="File for the truth log, JSON lines.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON line at start.")] = False,
    account: Annotated[
        list[str] | None, typer.Option(help="NUMBER or NUMBER:NAME; may be repeated.")
    ] = None,
    contact: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER, NUMBER:NAME or NUMBER:NAME:REPLY (none, echo)."),
    ] = None,
    auto_scan: Annotated[
        bool, typer.Option(help="Phones without a device scan the next code by themselves.")
    ] = False,
    qr_ttl: Annotated[float, typer.Option(help="Seconds that a code lives.")] = 20.0,
    qr_first_ttl: Annotated[float, typer.Option(help="Seconds that the first one lives.")] = 60.0,
    qr_codes: Annotated[int, typer.Option(help="Codes before the page goes idle.")] = 6,
    ack_delay: Annotated[float, typer.Option(help="Seconds until the server acks.")] = 0.05,
    offline_delay: Annotated[
        float, typer.Option(help="Seconds after a login until queued messages come.")
    ] = 1.0,
    heartbeat: Annotated[float, typer.Option(help="Seconds between the page's pings.")] = 10.0,
) -> None:
    """Run an offline WhatsApp until SIGTERM or SIGINT."""
    try:
        options = SimulatorOptions(
            port=port,
            control_port=control_port,
            state_file=state,
            log_file=log,
            accounts=tuple(parse_account(a) for a in account or []),
            contacts=tuple(parse_contact(c) for c in contact or []),
            auto_scan=auto_scan,
            qr_ttl=qr_ttl,
            qr_first_ttl=qr_first_ttl,
            qr_codes=qr_codes,
            ack_delay=ack_delay,
            offline_delay=offline_delay,
            heartbeat=heartbeat,
        )
        asyncio.run(_run(options, as_json=json_))
    except (SimulatorError, ValueError, OSError) as error:
        typer.echo(f"simulator: {error}", err=True)
        raise typer.Exit(code=2) from error


def parse_account(text: str) -> AccountSeed:
    """Read ``NUMBER[:NAME]``."""
    number, _, name = text.partition(":")
    return AccountSeed(number=check_number(number), name=name)


def parse_contact(text: str) -> ContactSeed:
    """Read ``NUMBER[:NAME[:REPLY]]``."""
    number, _, rest = text.partition(":")
    name, _, reply = rest.partition(":")
    reply = reply or "none"
    if reply not in set(get_args(Reply)) - {"fixed"}:
        raise ValueError(f"A contact replies none or echo, not {reply!r}.")
    return ContactSeed(number=check_number(number), name=name, reply=cast("Reply", reply))


async def _run(options: SimulatorOptions, *, as_json: bool) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    simulator = Simulator(options)
    await simulator.start()
    try:
        info = simulator.info()
        text = json.dumps(info) if as_json else _human(info)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await simulator.stop()


def _human(info: dict[str, object]) -> str:
    flags = "\n".join(f"    {flag!r}" for flag in cast("list[str]", info["chromium_flags"]))
    return (
        f"The simulator plays {info['origin']} on {info['page_address']}.\n"
        f"  control API: {info['control_url']}\n"
        f"  Chromium flags:\n{flags}\n"
        "Stop it with Ctrl-C."
    )
