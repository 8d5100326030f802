"""Shows that the chaos suite can fail: `python -m tests.chaos.mutants [NAMES…]`.

Each mutant takes one mitigation away, in a copy of the tree, and runs the fault that the mitigation
is for: that must then miss a bar. Without a mutation it must hold them all, or the rest would prove
nothing. Exit code 1 if a mutant survives.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from config.sources import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REPOSITORY: Final = Path(__file__).resolve().parents[2]
NOT_COPIED: Final = (
    ".git",
    ".venv",
    "node_modules",
    "data",
    "results",
    "build",
    "__pycache__",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """In `file`, `old` (which is there once) becomes `new`; then `fault` must miss a bar.

    Its `quick` run, or the whole one if that is what it takes.
    """

    name: str
    mitigation: str
    file: str
    old: str
    new: str
    fault: str
    quick: bool = True

    def apply(self, tree: Path) -> None:
        """Change the file. Raises ValueError if the text is not there exactly once."""
        path = tree / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.file} has its old text {text.count(self.old)}×")  # noqa: RUF001
        path.write_text(text.replace(self.old, self.new), "utf-8")


MUTANTS: Final = (
    Mutant(
        name="deaf_to_death",
        mitigation="a browser's end is noticed at once",
        file="actors/browser/whatsapp.py",
        old="""        self._connection.close()
        self._tell_exit()
        if self._stopping is None:
            self._stopping""",
        new="""        return
        if self._stopping is None:
            self._stopping""",
        fault="idle_browser_killed",
    ),
    Mutant(
        name="crash_is_final",
        mitigation="a session that crashed is started again",
        file="supervisor/child.py",
        old="            return kind is ExitKind.CRASH",
        new="            return False",
        fault="browser_killed",
    ),
    Mutant(
        name="hangs_ignored",
        mitigation="session health: a page that does not answer is freed, or loaded anew",
        file="actors/health_beat.py",
        old="    if plan.missed < HUNG:",
        new="    if plan.missed < HUNG * 1_000_000:",
        fault="page_loops",
    ),
    Mutant(
        name="silence_ignored",
        mitigation="session health: a session without evidence has to prove itself",
        file="actors/health_plan.py",
        old="    return plan, (moment.check(_age(plan, moment.now)),)",
        new="    return plan, ()",
        fault="silent_socket",
    ),
    Mutant(
        name="acks_ignored",
        mitigation="session health: messages without an ack degrade their session",
        file="actors/health_beat.py",
        old="    if plan.doubt is None and stuck >= HUNG:",
        new="    if False and plan.doubt is None and stuck >= HUNG:",
        fault="acks_swallowed",
    ),
    Mutant(
        name="crash_costs_the_browser",
        mitigation="session health: a crashed page is loaded anew in its browser",
        file="actors/outages.py",
        old='    {"page_crashed", "page_unresponsive", "evidence_missing", "socket_timeout"}',
        new='    {"page_unresponsive", "evidence_missing", "socket_timeout"}',
        fault="renderer_killed",
    ),
    Mutant(
        name="memory_unlimited",
        mitigation="memory: a browser above the kill limit is killed",
        file="actors/memory_plan.py",
        old="    if use.memory >= rules.kill:",
        new="    if use.memory >= rules.kill * 1000:",
        fault="memory_explodes",
    ),
    Mutant(
        name="breaker_forgotten",
        mitigation="webhooks: an endpoint that was failing is probed at the start, then gets all",
        file="actors/webhook_worker.py",
        old="        failing = webhook.failing_since_ms is not None",
        new="        failing = False",
        fault="webhooks_down",
    ),
    Mutant(
        name="failure_taken_for_done",
        mitigation="webhooks: what an endpoint did not take is kept, and told again",
        file="actors/webhook_worker.py",
        old="        ledger.waiting.append(after)\n",
        new="",
        fault="webhooks_down",
    ),
    Mutant(
        name="patient_stop",
        mitigation="destroy() that hangs: SIGKILL at the deadline",
        file="actors/browser/process.py",
        old="forced = not await self.wait(deadline)",
        new="forced = not await self.wait(deadline * 20)",
        fault="close_unanswered",
    ),
    Mutant(
        name="no_sweep",
        mitigation="orphans of a dead supervisor are killed at the boot and before a launch",
        file="actors/browser/profile.py",
        old="    while alive and time.monotonic() < until:",
        new="    while False and alive and time.monotonic() < until:",
        fault="killed_with_frozen_browser",
    ),
    Mutant(
        name="lock_believed",
        mitigation="locked profile: a lock that nobody holds is removed",
        file="actors/browser/profile.py",
        old="        _remove_stale_singletons(paths.profile)\n",
        new="",
        fault="stale_lock",
    ),
    Mutant(
        name="foreigner_ignored",
        mitigation="locked profile: a live browser of somebody else's is left alone",
        file="actors/browser/profile.py",
        old="        _refuse_foreign(paths.profile)\n",
        new="",
        fault="foreign_holder",
    ),
    Mutant(
        name="logout_restarted",
        mitigation="permanent causes are not restarted",
        file="actors/reasons.py",
        old="""        "logged_out",
        "chromium_missing",""",
        new="""        "chromium_missing",""",
        fault="logged_out",
    ),
    Mutant(
        name="disk_unnamed",
        mitigation="a full disk is told as one: 507",
        file="storage/sqlite/errors.py",
        old="    if primary == sqlite3.SQLITE_FULL:",
        new="    if primary == -1:",
        fault="disk_full",
    ),
    Mutant(
        name="unbounded_wait",
        mitigation="a locked database: 503 within the busy time-out",
        file="storage/sqlite/files.py",
        old="        timeout=busy_timeout_ms / 1000,",
        new="        timeout=60,",
        fault="database_locked",
    ),
    Mutant(
        name="no_restore",
        mitigation="a damaged database is put aside, and the last good snapshot restored",
        file="supervisor/recovery.py",
        old="            restored = await recovery.replace_damaged(damage)",
        new="            raise damage",
        fault="database_damaged",
    ),
    Mutant(
        name="cap_lifted",
        mitigation="QR loops: at most five windows an hour",
        file="actors/limiter_plan.py",
        old="        if len(newest) >= limit.most",
        new="        if len(newest) >= limit.most * 1000",
        fault="qr_capped",
    ),
    Mutant(
        name="ids_of_the_moment",
        mitigation="delivery: a message keeps the id that it was accepted with",
        file="actors/outgoing.py",
        old="        wa_id=row.wa_id,\n        kind",
        new='        wa_id="3EB0" + os.urandom(9).hex().upper(),\n        kind',
        fault="random_kills",
    ),
    Mutant(
        name="grants_forgotten",
        mitigation="caps: what a number was granted is known again after a restart",
        file="actors/send_plan.py",
        old="{grant.key: grant.boot_ms for grant in log.grants} for log in logs}",
        new="{} for log in logs}",
        fault="random_kills",
        quick=False,
    ),
    Mutant(
        name="no_reaper",
        mitigation="PID 1 reaps what it inherits",
        file="supervisor/reaper.py",
        old="                self._reap(pid)",
        new="                pass",
        fault="pid_1",
    ),
)


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Any of {', '.join(m.name for m in MUTANTS)}; none means all."),
    ] = None,
) -> None:
    """Take the mitigations away, one by one. Exit code 1 if no bar is missed without one."""
    console = Console()
    chosen = [m for m in MUTANTS if names is None or m.name in names]
    if unknown := set(names or ()) - {m.name for m in chosen}:
        raise typer.BadParameter(f"there is no mutant {', '.join(sorted(unknown))}")
    sound: dict[tuple[str, bool], list[str]] = {}
    for quick in sorted({m.quick for m in chosen}):
        faults = sorted({m.fault for m in chosen if m.quick is quick})
        with console.status(f"without a mutation: {', '.join(faults)}"), _copy() as tree:
            missed_of = _missed(tree, faults, quick=quick)
        sound.update({(fault, quick): missed for fault, missed in missed_of.items()})
    table = Table("mutant", "mitigation taken away", "fault", "missed", "killed", box=None)
    survived = 0
    for mutant in chosen:
        with console.status(f"{mutant.name}: {mutant.fault}"), _copy() as tree:
            mutant.apply(tree)
            missed = _missed(tree, [mutant.fault], quick=mutant.quick)[mutant.fault]
        before = sound[mutant.fault, mutant.quick]
        proven = bool(missed) and not before
        survived += not proven
        why = f"misses without it, too: {before[0]}" if before else ""
        verdict = "[green]yes[/green]" if proven else f"[red]no[/red] {why}"
        table.add_row(mutant.name, mutant.mitigation, mutant.fault, _words(missed), verdict)
    console.print(table)
    if survived:
        raise typer.Exit(1)


@contextmanager
def _copy() -> Iterator[Path]:
    """Copy the tree; what is installed beside it is shared."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        tree = Path(directory) / "tree"
        shutil.copytree(REPOSITORY, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
        (tree / "node_modules").symlink_to(REPOSITORY / "node_modules")
        yield tree


def _missed(tree: Path, faults: Sequence[str], *, quick: bool) -> dict[str, list[str]]:
    """Run faults in a tree; return the bars that each missed."""
    report = tree / "report.json"
    options = ["--quick"] if quick else []
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *options, f"--json={report}", *faults],
        cwd=tree,
        env={**env, "PYTHONPATH": str(tree)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():
        raise RuntimeError(f"the suite itself broke:\n{done.stdout}\n{done.stderr}")
    rows: list[dict[str, Any]] = json.loads(report.read_text("utf-8"))["faults"]
    return {row["fault"]: row["missed"] for row in rows}


def _words(missed: Sequence[str]) -> str:
    return "; ".join(missed).partition("\n")[0][:100]


if __name__ == "__main__":
    typer.run(main)
