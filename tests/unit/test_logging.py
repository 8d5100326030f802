"""The log as it comes out: one format for all, and canaries that must never be in it."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from config.logging import LogFormat, configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.unit

ULID = "01HF7YAT00FXFVR0JEBYVRG0YZ"
PHONE = "4915112345678"
JID = f"{PHONE}@c.us"
QR = "2@AbCdEf/gHiJk+lMn==,OpQr/StUv+WxYz==,aBcD,1"
KEY = "wsk_live_0123456789abcdefghijklmnop"
BODY = "Meet me at the harbour"
CANARIES = (PHONE, QR, "AbCdEf", "OpQr", KEY, "0123456789abcdef", BODY, "harbour")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in ("pyppeteer", "asyncio", "aiosqlite")}
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Log(io.StringIO):
    def start(self, level: str = "debug", format_: LogFormat = "json") -> Log:
        configure_logging(level, format_, self)
        # pytest's own handlers would keep, and choke on, what is never to be printed.
        root = logging.getLogger()
        root.handlers[:] = root.handlers[-1:]
        return self

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def test_an_event_in_json() -> None:
    log = Log().start()
    structlog.get_logger("actors.session").info("browser_launched", session_id=ULID, pid=42)
    [record] = log.records()
    timestamp = record.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", timestamp)
    assert record == {
        "event": "browser_launched",
        "level": "info",
        "logger": "actors.session",
        "session_id": ULID,
        "pid": 42,
    }


def test_an_event_on_the_console() -> None:
    log = Log().start(format_="console")
    structlog.get_logger("actors.session").warning("browser_launched", session_id=ULID, pid=42)
    [line] = log.getvalue().splitlines()
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[warning +\] browser_launched ", line)
    assert f"session_id={ULID}" in line
    assert "pid=42" in line


def test_auto_is_json_unless_a_person_looks() -> None:
    class Terminal(Log):
        def isatty(self) -> bool:
            return True

    for log, is_json in ((Log(), True), (Terminal(), False)):
        log.start(format_="auto")
        structlog.get_logger("x").info("started")
        assert log.getvalue().startswith("{") is is_json


def test_a_second_call_replaces_the_first() -> None:
    first, second = Log().start(), Log().start()
    second.start()
    structlog.get_logger("x").info("once")
    logging.getLogger("x").warning("twice")
    assert first.getvalue() == ""
    assert [record["event"] for record in second.records()] == ["once", "twice"]


def test_a_logger_made_before_follows() -> None:
    early = structlog.get_logger("x")
    log = Log().start("warning")
    early.info("quiet")
    early.warning("heard")
    log.start("debug")
    early.debug("heard_too")
    assert [record["event"] for record in log.records()] == ["heard", "heard_too"]


def test_bound_context_is_merged_and_cut() -> None:
    log = Log().start()
    structlog.contextvars.bind_contextvars(session_id=ULID, chat=JID)
    structlog.get_logger("x").info("message_accepted")
    [record] = log.records()
    assert (record["session_id"], record["chat"]) == (ULID, "[redacted]")


def test_libraries_are_heard_from_warning_up() -> None:
    log = Log().start("debug")
    for name in ("pyppeteer.connection", "aiosqlite", "yoyo.migrations", "some.other"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(level, "said at %s", level)
    assert [record["event"] for record in log.records()] == ["said at 30"] * 4
    assert not logging.getLogger("pyppeteer.connection").isEnabledFor(logging.INFO)


def test_a_quiet_log_keeps_libraries_quiet() -> None:
    log = Log().start("error")
    logging.getLogger("pyppeteer").warning("said")
    structlog.get_logger("x").warning("said")
    assert log.getvalue() == ""


def test_warnings_become_records() -> None:
    log = Log().start()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"unclosed '{BODY}'", ResourceWarning, stacklevel=1)
    [record] = log.records()
    assert (record["logger"], record["level"]) == ("py.warnings", "warning")
    assert "ResourceWarning: unclosed '…'" in record["event"]


def test_a_stream_that_is_gone_harms_nobody() -> None:
    log = Log().start()
    log.close()
    structlog.get_logger("x").info("said")
    logging.getLogger("y").error("said")


def fail() -> None:
    try:
        int(f"{BODY} to {JID}")
    except ValueError as error:
        raise RuntimeError(f"{QR} {KEY}") from error


def say_everything() -> None:
    """Log every canary in every way that code of ours or of a library could."""
    ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
    ours.info("message_received", body=BODY, chat=JID, qr=QR, api_key=KEY, phone_number=PHONE)
    ours.info("fields_of_a_listed_name", error=f"{JID} {QR} {KEY}", detail=PHONE, status=QR)
    ours.info("nested", what=[JID, {"x": BODY}], reason={"body": BODY}, code=(KEY, QR))
    ours.info("positional %s", BODY)
    ours.info(f"not an event name: {PHONE} {QR} {KEY}")
    ours.bind(jid=JID, session_id=PHONE, logger=KEY, level=QR, timestamp=JID).info("bound")
    ours.info("exception_as_a_field", exception=f"{BODY} {JID}", stack=BODY)
    for logger in (theirs, logging.getLogger("pyppeteer.connection")):
        logger.info("SEND %s", BODY)
        logger.warning("to %s: %r", JID, BODY)
        logger.error("%s %s %s", QR, KEY, PHONE)
        logger.error('{"body": "%s", "to": "%s"}', BODY, JID)
        logger.error("not formattable %d", BODY)
        logger.error("extras", extra={"body": BODY, "jid": JID})
    try:
        fail()
    except RuntimeError as error:
        ours.exception("actor_crashed")
        ours.error("by_value", exc_info=error)
        theirs.exception("Task exception was never retrieved\nfuture: <Task body=%r>", BODY)
        theirs.error("with a stack", stack_info=True)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_canary_is_in_the_log(format_: LogFormat, capfd: pytest.CaptureFixture[str]) -> None:
    log = Log().start("debug", format_)
    say_everything()
    text = log.getvalue() + "".join(capfd.readouterr())
    for canary in CANARIES:
        assert canary not in text
    assert text.count("RuntimeError: [qr] [key]") == 3
    assert "in fail" in text
    assert text.count("log_record_lost") == 2
    assert text.count("message_received") == 1


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_value_forges_a_line(format_: LogFormat) -> None:
    log = Log().start(format_=format_)
    forged = "a\nb\r\x1b[2Jc\u2028d\u202ee\x85f"
    structlog.get_logger("x").info("served", route=forged, what=[forged], host=forged)
    logging.getLogger("y").error(forged)
    text = log.getvalue()
    assert len(text.splitlines()) == 2
    assert text.replace("\n", "").isprintable()


def test_every_thread_writes_whole_lines() -> None:
    log = Log().start()

    def work(number: int) -> None:
        for _ in range(50):
            structlog.get_logger("x").info("worked", count=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.records()) == 400


def test_a_closed_stream_ends_nothing() -> None:
    log = Log().start()
    log.close()
    structlog.get_logger("x").info("nobody_hears")


def test_the_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    structlog.get_logger("x").info("started")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "started"
    assert sys.stderr is not None
