"""start_to_qr: from POST start to a QR code on show, against bare Chromium on the same page.

Ours and bare run in turn within one run, so that a busy machine slows both. Ours counts from before
POST /v1/sessions/{id}/start (the session exists, is stopped and has no profile yet) until the API
answers qr_scanning with a code. Bare counts from before the spawn until wa-js hands out the login
code.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.bare_chromium import BareChromium, Moments
from benchmarks.rows import Bar, Options, Row
from benchmarks.stage import Stage, Truth, monotonic_of, stage
from supervisor.demo_parts import Api, DemoFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.processes import Program

PAIRS: Final = 9
BAR: Final = Bar(relation="<=", limit=1.25)
GLANCE: Final = 0.002
PATIENCE: Final = 60.0
SEEN: Final = ("page_served", "ws_open", "qr_issued")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One run: seconds of time.monotonic(), the same names on both sides."""

    began: float
    launched: float
    page_served: float
    ws_open: float
    qr_issued: float
    shown: float

    def parts(self) -> dict[str, float]:
        """Return the milliseconds of each part, in order."""
        return {
            "launch": 1000 * (self.launched - self.began),
            "navigate": 1000 * (self.page_served - self.launched),
            "load": 1000 * (self.ws_open - self.page_served),
            "code": 1000 * (self.qr_issued - self.ws_open),
            "show": 1000 * (self.shown - self.qr_issued),
        }

    @property
    def total(self) -> float:
        return 1000 * (self.shown - self.began)


MEANING: Final = {
    "launch": "until the page is taken and the script is set",
    "navigate": "until the simulator serves the page",
    "load": "until the page opens its socket",
    "code": "until the simulator issues a code",
    "show": "until the code is out",
}


def run(options: Options) -> list[Row]:
    with stage() as scene, scene.node() as node:
        bare = BareChromium(scene.place, scene.directory)
        pairs = asyncio.run(_pairs(scene, node, bare, options.runs_or(PAIRS)))
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    ratio = Row(
        name="start_to_qr",
        what="POST start to QR, ours / bare Chromium, by pairs",
        unit="ratio",
        samples=tuple(a.total / b.total for a, b in pairs),
        bar=BAR,
        note=f"{len(pairs)} pairs in turn, after one of each that does not count",
    )
    return [
        ratio,
        *_rows("start_to_qr.ours", "POST start to code in the API", ours),
        *_rows("start_to_qr.bare", "spawn to login code", theirs),
    ]


async def _pairs(
    scene: Stage, node: Program, bare: BareChromium, count: int
) -> list[tuple[Timeline, Timeline]]:
    pairs = []
    async with Api.of(node, scene.place) as api:
        for number in range(count + 1):
            ours = await _ours(scene, api, f"pair-{number}")
            theirs = await _bare(api, bare)
            if number:  # the first one finds cold caches
                pairs.append((ours, theirs))
    return pairs


async def _ours(scene: Stage, api: Api, name: str) -> Timeline:
    session = (await api.post("/v1/sessions", {"name": name}))["id"]
    truth = await Truth.from_now(api)
    logged = scene.node_log.stat().st_size
    began = time.monotonic()
    await api.post(f"/v1/sessions/{session}/start", {})
    await truth.first("qr_issued")  # until then a poll could only disturb
    shown = await _until_shown(api, session)
    launched = _launched(scene.log_since(logged))
    await api.delete(f"/v1/sessions/{session}")
    return Timeline(began=began, launched=launched, shown=shown, **await _seen(truth))


async def _bare(api: Api, bare: BareChromium) -> Timeline:
    truth = await Truth.from_now(api)
    moments: Moments = bare.run()
    return Timeline(
        began=moments.began, launched=moments.launched, shown=moments.code, **await _seen(truth)
    )


async def _seen(truth: Truth) -> dict[str, float]:
    return {kind: (await truth.first(kind))["mono_ns"] / 1e9 for kind in SEEN}


def _launched(log: Sequence[dict[str, Any]]) -> float:
    """Return when the session's actor had its browser."""
    for entry in log:
        if entry["event"] == "browser_launched" and entry["logger"] == "actors.session":
            return monotonic_of(entry)
    raise DemoFailed("the node's log has no browser_launched")


async def _until_shown(api: Api, session: str) -> float:
    """Return when the API first answered that the code is there."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = await api.get(f"/v1/sessions/{session}")
        if answer["status"] == "qr_scanning" and answer["qr_available"]:
            return time.monotonic()
        await asyncio.sleep(GLANCE)
    raise DemoFailed(f"no QR code was shown within {PATIENCE:g} s")


def _rows(prefix: str, what: str, runs: Sequence[Timeline]) -> list[Row]:
    total = Row(name=prefix, what=what, unit="ms", samples=tuple(run.total for run in runs))
    parts = [run.parts() for run in runs]
    return [
        total,
        *(
            Row(
                name=f"{prefix}.{name}",
                what=f"… {meaning}",
                unit="ms",
                samples=tuple(part[name] for part in parts),
            )
            for name, meaning in MEANING.items()
        ),
    ]
