"""The pinned wa-js bundle has what our page scripts use: functions, and events that it emits.

The names are read out of the scripts themselves, so that none can be forgotten. WhatsApp's own
bindings (WPP.whatsapp.*) are not wa-js's to promise: the adapter looks for them in each page.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from actors.browser.page_source import PAGE, SCRIPTS
from tests.integration.browser_support import BUNDLE, REPOSITORY, Facts, browsing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

OWN_SCRIPTS = "\n".join((PAGE / name).read_text() for name in SCRIPTS)
BUNDLE_TEXT = BUNDLE.read_text()
PINNED = json.loads((REPOSITORY / "package.json").read_text())["dependencies"]["@wppconnect/wa-js"]


@dataclass(frozen=True)
class Uses:
    """What a script takes from wa-js."""

    functions: frozenset[str]
    values: frozenset[str]
    events: frozenset[str]


def uses_of(script: str) -> Uses:
    """Find WPP.a.b( calls, other WPP.a reads, and WPP.on('…') subscriptions."""
    code = re.sub(r"//.*|/\*.*?\*/", "", script)
    names = set(re.findall(r"\bWPP\.((?!whatsapp\b)\w+(?:\.\w+)?)", code))
    functions = set(re.findall(r"\bWPP\.((?!whatsapp\b)\w+(?:\.\w+)?)\(", code))
    events = set(re.findall(r"\bWPP\.on\(\s*'([\w.]+)'", code))
    return Uses(frozenset(functions), frozenset(names - functions), frozenset(events))


def never_emitted(events: frozenset[str]) -> set[str]:
    emitted = set(re.findall(r'\bemit(?:Async)?\("([\w.]+)"', BUNDLE_TEXT))
    return set(events - emitted)


USES = uses_of(OWN_SCRIPTS)


def test_the_scripts_use_what_this_test_believes() -> None:
    """Guards the parser: if it found nothing the other tests would prove nothing."""
    assert {"chat.sendTextMessage", "contact.queryWidExists", "conn.logout", "on"} <= USES.functions
    assert {"version", "isReady", "isInjected"} <= USES.values
    assert {"loader.ready", "chat.new_message", "chat.msg_ack_change", "conn.logout"} <= USES.events
    subscriptions = len(re.findall(r"\bWPP\.on\(", OWN_SCRIPTS))
    assert len(USES.events) == subscriptions


def test_planted_names_are_found() -> None:
    planted = uses_of("WPP.conn.doesNotExist(1); WPP.on('chat.bogus', f); WPP.bogus.value;")
    assert planted.functions == {"conn.doesNotExist", "on"}
    assert planted.values == {"bogus.value"}
    assert never_emitted(planted.events) == {"chat.bogus"}


def test_every_event_is_emitted_by_the_bundle() -> None:
    assert never_emitted(USES.events) == set()


def test_the_bundle_is_the_pinned_version() -> None:
    assert re.search(rf"wa-js v{re.escape(PINNED)}\b", BUNDLE_TEXT[:300])


async def test_every_function_and_value_exists_in_the_real_bundle(tmp_path: Path) -> None:
    look = """((names) => names.filter((name) => {
        const value = name.split('.').reduce((o, k) => o?.[k], WPP);
        return value === undefined || FUNCTION && typeof value !== 'function';
    }))"""
    async with browsing(tmp_path, facts=Facts()) as browser:
        await browser.open()
        page = browser._page
        assert page is not None

        async def missing(names: frozenset[str], *, functions: bool) -> set[str]:
            script = look.replace("FUNCTION", str(functions).lower())
            answer = await page.evaluate(f"{script}({json.dumps(sorted(names))})", 5)
            return set(answer)

        assert await missing(USES.functions, functions=True) == set()
        assert await missing(USES.values, functions=False) == set()
        planted = frozenset({"conn.doesNotExist", "webpack.onReady", "version"})
        assert await missing(planted, functions=True) == planted
        assert await missing(planted, functions=False) == planted - {"version"}
        assert await page.evaluate("WPP.version", 5) == PINNED


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("", None),
        ("WPP.conn.logOut();", "logOut"),
        ("WPP.on('chat.new_mesage', () => null);", "chat.new_mesage"),
        ("WPP.on('chat.new_message', (m) => m.bodyy.length);", "bodyy"),
        ("WPP.contact.queryWidExists();", "Expected 1 arguments"),
    ],
)
def test_the_type_check_passes_and_can_fail(
    tmp_path: Path, mistake: str, complaint: str | None
) -> None:
    """`npm run check`, on the scripts as they are and with planted mistakes."""
    page = tmp_path / "page"
    shutil.copytree(PAGE, page)
    (tmp_path / "node_modules").symlink_to(REPOSITORY / "node_modules")
    with (page / "adapter.js").open("a") as adapter:
        adapter.write(f"\n{mistake}\n")
    result = subprocess.run(
        [REPOSITORY / "node_modules/.bin/tsc", "-p", page],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if complaint is None:
        assert (result.returncode, result.stdout) == (0, "")
    else:
        assert result.returncode != 0
        assert complaint in result.stdout
