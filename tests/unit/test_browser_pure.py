"""The pure parts of the browser room: frames, arguments, scrubbing, /proc lines, logouts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.browser.chromium import find_executable, parse_version
from actors.browser.driver import BundleMissing, ChromiumMissing, LoggedOut
from actors.browser.framing import FrameSplitter, FrameTooLarge
from actors.browser.launch_args import (
    BrowserOptions,
    arguments,
    environment,
    user_agent_override,
)
from actors.browser.logouts import LogoutWatch
from actors.browser.page_source import PageNames, PageScripts, call_expression, read_scripts
from actors.browser.procfs import parse_stat
from actors.browser.stderr import LINE_LENGTH, scrub

pytestmark = pytest.mark.unit

VERSION = "156.0.8078.79"
OPTIONS = BrowserOptions(bundle_path=Path("bundle.js"))


def argv(options: BrowserOptions = OPTIONS, *, sandbox: bool = True) -> list[str]:
    return arguments(
        options,
        executable=Path("/usr/bin/chromium"),
        version=VERSION,
        profile=Path("/data/s1/profile"),
        sandbox=sandbox,
    )


# ---- frames --------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1).filter(lambda b: b"\0" not in b)), st.data())
def test_frames_survive_any_cutting(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame + b"\0" for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter = FrameSplitter(max_frame=10_000)
    got: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += splitter.feed(stream[start:end])
    assert got == frames


def test_a_frame_without_an_end_is_refused_early() -> None:
    splitter = FrameSplitter(max_frame=10)
    splitter.feed(b"12345")
    with pytest.raises(FrameTooLarge):
        splitter.feed(b"678901")


def test_empty_frames_are_nothing() -> None:
    assert FrameSplitter(10).feed(b"\0\0a\0\0") == [b"a"]


# ---- arguments -----------------------------------------------------------------------------------


def test_no_word_betrays_a_headless_browser() -> None:
    agent = next(a for a in argv() if a.startswith("--user-agent="))
    assert "Chrome/156.0.0.0" in agent
    assert "Headless" not in agent
    override = json.dumps(user_agent_override(OPTIONS, VERSION))
    assert "Headless" not in override
    assert VERSION in override


def test_no_port_is_opened_and_nothing_is_left_to_a_keyring() -> None:
    assert "--remote-debugging-pipe" in argv()
    assert not any("remote-debugging-port" in a for a in argv())
    assert "--password-store=basic" in argv()


def test_the_sandbox_is_on_unless_told_otherwise() -> None:
    assert "--no-sandbox" not in argv(sandbox=True)
    assert "--no-sandbox" in argv(sandbox=False)


def test_nothing_trusts_a_simulator_by_default() -> None:
    assert not any("resolver" in a or "spki" in a or "certificate" in a for a in argv())
    told = BrowserOptions(
        bundle_path=Path("b"), host_resolver_rules="MAP a b", trusted_spki="k=", extra_args=("-x",)
    )
    assert "--host-resolver-rules=MAP a b" in argv(told)
    assert "--ignore-certificate-errors-spki-list=k=" in argv(told)
    assert "-x" in argv(told)


def test_each_argument_is_given_once() -> None:
    names = [a.split("=")[0] for a in argv()]
    assert len(names) == len(set(names))


def test_the_browser_does_not_see_our_environment() -> None:
    inherited = {"WAFLEET_KEY": "secret", "PATH": "/bin", "LC_ALL": "C", "TMPDIR": "/ours"}
    env = environment(inherited, Path("/data/s1/tmp"))
    assert env["TMPDIR"] == "/data/s1/tmp"
    assert env["PATH"] == "/bin"
    assert env["LC_ALL"] == "C"
    assert "WAFLEET_KEY" not in env


# ---- Chromium and bundle -------------------------------------------------------------------------


def test_an_explicit_executable_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ChromiumMissing, match="chromium-headless-shell"):
        find_executable(tmp_path / "nothing")
    plain = tmp_path / "plain"
    plain.write_text("not executable")
    with pytest.raises(ChromiumMissing):
        find_executable(plain)


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("Chromium 156.0.8078.79 \n", "156.0.8078.79"),
        ("Google Chrome 131.0.6778.204", "131.0.6778.204"),
        ("Chromium 156.0.8078.79 built on Debian GNU/Linux 12", "156.0.8078.79"),
    ],
)
def test_versions(output: str, version: str) -> None:
    assert parse_version(output) == version


def test_something_else_is_no_chromium() -> None:
    with pytest.raises(ChromiumMissing):
        parse_version("GNU bash, version 5.2.15")


def test_a_missing_or_wrong_bundle_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="make setup"):
        read_scripts(tmp_path / "bundle.js")
    wrong = tmp_path / "wrong.js"
    wrong.write_text("console.log(1)")
    with pytest.raises(BundleMissing, match="make setup"):
        read_scripts(wrong)


def test_our_configuration_comes_before_the_bundle() -> None:
    source = PageScripts(bundle="BUNDLE", adapter="ADAPTER").source(
        PageNames(), inject_seconds=15, ready_seconds=20
    )
    assert '"slowestUpload": 131072, "longestUploadMs": 1200000' in source
    order = [source.index(part) for part in ("disableGoogleAnalytics", "BUNDLE", "ADAPTER")]
    assert order == sorted(order)


def test_names_are_not_guessable() -> None:
    first, second = PageNames(), PageNames()
    assert len({first.api, first.binding, second.api, second.binding}) == 4
    assert all(re.fullmatch(r"_[0-9a-f]{16}", n) for n in (first.api, first.binding))


@given(st.text())
def test_an_argument_can_not_leave_its_string(body: str) -> None:
    expression = call_expression(PageNames(binding="_b", api="_a"), "sendText", {"body": body})
    inside = expression.split('"sendText", ', 1)[1].rsplit(") : ", 1)[0]
    assert json.loads(inside) == {"body": body}
    assert expression.isascii()  # so no line separator ends a JavaScript string either


# ---- scrubbing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "scrubbed"),
    [
        ("failed for https://web.whatsapp.com/?a=b c", "failed for <url> c"),
        ("open /data/s1/profile/Default/Cookies failed", "open …/Cookies failed"),
        ("call 15550100001 now", "call <number> now"),
        ("key " + "A1" * 30, "key <token>"),
        ("tab\tand\x1b[31m", "tab and [31m"),
        ("[1234:ERROR:net.cc(12)] No such file", "[1234:ERROR:net.cc(12)] No such file"),
    ],
)
def test_scrub(line: str, scrubbed: str) -> None:
    assert scrub(line) == scrubbed


@given(st.text())
def test_scrubbed_lines_are_short_and_printable(line: str) -> None:
    result = scrub(line)
    assert len(result) <= LINE_LENGTH
    assert result.isprintable()
    assert not re.search(r"\d{7}", result)


# ---- /proc ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cat", "a b", "x) S 9 9 9", "(((", ")"])
def test_a_process_name_can_not_fool_the_parser(name: str) -> None:
    tail = "S 1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 7777 1 2"
    process = parse_stat(f"42 ({name}) {tail}")
    assert (process.pid, process.parent, process.group, process.session) == (42, 1, 2, 3)
    assert (process.state, process.started, process.dead) == ("S", 7777, False)


# ---- logouts -------------------------------------------------------------------------------------

HOME = "https://web.whatsapp.com/"
GONE = "https://web.whatsapp.com/?post_logout=1&logout_reason=0"
BY_USER = LoggedOut(reason="user_initiated")


@pytest.mark.parametrize(
    ("happenings", "told"),
    [
        ([HOME], []),
        ([HOME, BY_USER, GONE], [BY_USER]),  # report and navigation are one logout
        ([HOME, GONE], [LoggedOut(reason="0")]),  # the page left too fast to report
        ([HOME, BY_USER, BY_USER, GONE, GONE], [BY_USER]),  # and a reload is none
        ([HOME, GONE, GONE, HOME], [LoggedOut(reason="0")]),
        ([HOME, BY_USER, GONE, BY_USER, GONE], [BY_USER, BY_USER]),  # logged in again meanwhile
        ([HOME, HOME + "?post_logout=1"], [LoggedOut(reason=None)]),
        (["about:blank", HOME + "?post_logout=0"], []),
    ],
)
def test_a_logout_is_told_once(happenings: list[str | LoggedOut], told: list[LoggedOut]) -> None:
    watch = LogoutWatch()
    facts = [
        watch.navigated(each) if isinstance(each, str) else watch.reported(each)
        for each in happenings
    ]
    assert [fact for fact in facts if fact is not None] == told
