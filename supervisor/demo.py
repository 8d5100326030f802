"""`wafleet demo`: the main job from QR code to clean stop, real processes on the simulator.

Nothing is asserted by looking away: every step waits for what the API, the simulator's own log, or
the operating system says, and the last step proves that nothing is left.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import segno
from rich.table import Table

from supervisor.demo_parts import Api, DemoFailed, leftovers, until
from supervisor.processes import Program, ProgramFailed, SimulatorPlace, start_node, start_simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

PHONE: Final = "15550100001"
ALICE: Final = "15550100002"
STRANGER: Final = "15550199999"
SESSION: Final = "demo"
CONTACT: Final = {
    "number": ALICE,
    "name": "Alice",
    "reply": "echo",
    # later than the simulator's second of silence after a login, and slow enough to be seen apart
    "delivered_delay_ms": 1100,
    "read_delay_ms": 1400,
}


@dataclass
class Story:
    """What the demo has done so far, and the console that it is told on."""

    console: Console
    directory: Path
    steps: list[tuple[str, float, str]] = field(default_factory=list)

    @contextmanager
    def step(self, what: str) -> Iterator[dict[str, str]]:
        """Show progress while the block runs; its `note` goes into the summary."""
        note: dict[str, str] = {}
        began = time.monotonic()
        with self.console.status(what):
            yield note
        seconds = time.monotonic() - began
        self.steps.append((what, seconds, note.get("note", "")))
        self.console.print(f"[green]✓[/green] {what} [dim]({seconds:.1f} s)[/dim]", highlight=False)
        if "show" in note:
            self.console.print(note["show"], highlight=False, markup=False)


def run_demo(console: Console, *, keep: bool) -> int:
    """Run it; return 0 if every step did what it should, else 1."""
    directory = Path(tempfile.mkdtemp(prefix="wafleet-demo-"))
    story = Story(console, directory)
    began = time.monotonic()
    try:
        _tell(story)
    except (DemoFailed, ProgramFailed, TimeoutError) as error:
        console.print(f"[red]✗ {error}[/red]", highlight=False)
        console.print(f"The logs are in {directory}.")
        return 1
    _summary(story, time.monotonic() - began)
    if keep:
        console.print(f"Data and logs are kept in {directory}.")
    else:
        shutil.rmtree(directory)
    return 0


def _tell(story: Story) -> None:
    data = story.directory / "data"
    with ExitStack() as stack:
        with story.step("start the simulator") as note:
            log = story.directory / "simulator.log"
            simulator = stack.enter_context(start_simulator(log, f"--account={PHONE}:Shop"))
            place = SimulatorPlace.of(simulator.ready)
            note["note"] = f"page {place.page}, control {place.control_url}"
            note["show"] = f"  {note['note']}"
        env = {
            **place.environment(),
            "WAFLEET_DATA_DIR": str(data),
            "WAFLEET_API_PORT": "0",
            "WAFLEET_LOG_FORMAT": "json",
        }
        with _node(story, stack, env, "start the supervisor and the API") as node:
            asyncio.run(_first_life(story, node, place))
            _stop(story, node)
        with _node(story, stack, env, "start the supervisor again") as node:
            asyncio.run(_second_life(story, node, place))
            _stop(story, node)
        with story.step("stop the simulator"):
            simulator.stop()
    with story.step("prove that nothing is left") as note:
        ports = [place.page, place.control_url, node.ready["url"]]
        left = leftovers(data, [simulator.pid, node.pid], ports)
        if left:
            raise DemoFailed("left behind: " + "; ".join(left))
        note["note"] = "no process, no lock, no port"


@contextmanager
def _node(story: Story, stack: ExitStack, env: dict[str, str], what: str) -> Iterator[Program]:
    with story.step(what) as note:
        node = stack.enter_context(start_node(story.directory / "wafleet.log", env))
        note["note"] = f"API {node.ready['url']}"
        note["show"] = f"  {note['note']}"
    yield node


def _stop(story: Story, node: Program) -> None:
    with story.step("stop the supervisor (SIGTERM)") as note:
        code = node.stop(signal.SIGTERM)
        if code != 0:
            raise DemoFailed(f"the supervisor ended with exit code {code}")
        note["note"] = "exit code 0"


async def _first_life(story: Story, node: Program, place: SimulatorPlace) -> None:
    async with Api.of(node, place) as api:
        await api.simulator("/contacts", CONTACT)
        with story.step("create and start a session") as note:
            session = await api.post("/v1/sessions", {"name": SESSION, "start": True})
            note["note"] = session["id"]
        with story.step("a real Chromium loads WhatsApp Web and shows a QR code") as note:
            await api.session_becomes(SESSION, "qr_scanning", "qr_shown")
            text = await api.text(f"/v1/sessions/{SESSION}/qr.txt")
            png = await api.body(f"/v1/sessions/{SESSION}/qr.png")
            svg = await api.body(f"/v1/sessions/{SESSION}/qr.svg")
            note["note"] = f"png {len(png)} bytes, svg {len(svg)} bytes"
            note["show"] = _drawn(text)
        with story.step("the phone scans it: authenticated, then connected") as note:
            seen = asyncio.create_task(api.statuses_until(SESSION, "connected"))
            await api.simulator(f"/phones/{PHONE}/scan", {"qr": text})
            note["note"] = " → ".join(await seen)
            session = await api.get(f"/v1/sessions/{SESSION}")
            if session["phone_number"] != PHONE:
                raise DemoFailed(f"connected as {session['phone_number']}, not as {PHONE}")
            note["note"] += f", number {session['phone_number']}"
        await _messages(story, api)


async def _messages(story: Story, api: Api) -> None:
    path = f"/v1/sessions/{SESSION}/messages"
    with story.step("a text is sent: sent, delivered, read") as note:
        sent = await api.post(path, {"to": f"+{ALICE}", "text": "Hello Alice"})
        states = await api.message_states(f"{path}/{sent['id']}", "read")
        note["note"] = " → ".join(states)
        for state in ("sent", "delivered", "read"):
            if state not in states:
                raise DemoFailed(f"the message was never seen {state}")
    with story.step("the contact's answer is stored") as note:
        answer = await until(lambda: api.inbound(path), "no inbound message was stored")
        note["note"] = f"“{answer['text']}”"
        note["show"] = f"  from {answer['from']}: {answer['text']}"
    with story.step("a number that is not on WhatsApp gets a clear error") as note:
        sent = await api.post(path, {"to": f"+{STRANGER}", "text": "Anybody there?"})
        await api.message_states(f"{path}/{sent['id']}", "failed")
        failed: dict[str, Any] = await api.get(f"{path}/{sent['id']}")
        note["note"] = failed["error"]["code"]
        note["show"] = f"  {failed['error']['code']}: {failed['error']['message']}"
    with story.step("the simulator's own log agrees") as note:
        note["note"] = await api.truth("Hello Alice", ALICE)


async def _second_life(story: Story, node: Program, place: SimulatorPlace) -> None:
    async with Api.of(node, place) as api:
        with story.step("the session comes back from its profile, without a QR code") as note:
            seen = await api.statuses_until(SESSION, "connected")
            if "qr_scanning" in seen:
                raise DemoFailed("the session asked for a QR code again")
            note["note"] = " → ".join(seen)
            issued = await api.qr_scans(PHONE)
            if issued != 1:
                raise DemoFailed(f"the simulator counts {issued} scans, not 1")


def _drawn(text: str) -> str:
    """Draw a QR code with half blocks, two modules to a character."""
    rows = [list(row) for row in segno.make_qr(text, error="L").matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    blocks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    lines = (
        "  " + "".join(blocks[bool(a), bool(b)] for a, b in zip(top, bottom, strict=True))
        for top, bottom in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(lines)


def _summary(story: Story, seconds: float) -> None:
    table = Table(box=None, pad_edge=False, title="Summary", title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("what was seen", overflow="fold")
    for what, took, note in story.steps:
        table.add_row(what, f"{took:.1f}", note)
    table.add_row("all", f"{seconds:.1f}", "every step did what it should", style="bold")
    story.console.print(table)
