"""One log for our own events and those of every library, as JSON or for the console.

Ours go through structlog, those of libraries through the standard logging module; both end in the
same handler, and before that fields are cut to the allow-list and text is scrubbed
(config.redaction). Ours do without the standard module's records, which cost half of a line.
Libraries are only heard from `warning` up: below that pyppeteer and aiosqlite log what they
transport, message bodies included.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter

from config.redaction import redact, scrub_foreign
from config.tracebacks import render

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

LogFormat = Literal["auto", "json", "console"]

TALKATIVE: Final = (
    "aiohttp",
    "aiosqlite",
    "asyncio",
    "pykka",
    "pyppeteer",
    "urllib3",
    "websockets",
    "yoyo",
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure_logging(level: str, format: LogFormat, stream: TextIO | None = None) -> None:  # noqa: A002
    """Send all logs of this process to `stream` (stderr); a second call replaces the first.

    `level` is debug, info, warning or error. `format` auto means console on a terminal, else JSON.
    """
    out = sys.stderr if stream is None else stream
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler = _Handler(out)
    handler.addFilter(_heard)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                _scrub_foreign,
                _render_exception,
                ProcessorFormatter.remove_processors_meta,
                _cut,
                *_renderers(out, format),
            ],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _Handler):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _whole,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=partial(
            _Lines, handler, threshold, (_render_exception, _cut, *_renderers(out, format))
        ),
        cache_logger_on_first_use=False,  # so that a second call takes effect everywhere
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; one that can't be made is counted as lost, and never printed raw."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - stdlib's name
        # The stock one prints the record's arguments, unscrubbed.
        self.lose(record.name)

    def lose(self, logger: str) -> None:
        """Say that a line of this logger could not be made or written."""
        lost = {"level": "error", "event": "log_record_lost", "logger": logger}
        with suppress(OSError, ValueError):  # else the stream is gone: there is nowhere to say so
            self.put(json.dumps(lost))

    def put(self, line: str) -> None:
        """Write a line of whichever thread at once. Raises OSError, ValueError."""
        self.acquire()
        try:
            self.stream.write(f"{line}\n")
            self.stream.flush()
        finally:
            self.release()


class _Lines:
    """What a logger of ours ends in; structlog asks it for its name and level, as of a real one."""

    disabled = False

    def __init__(
        self, handler: _Handler, threshold: int, processors: tuple[Any, ...], name: str = "wafleet"
    ) -> None:
        self._handler = handler
        self._threshold = threshold
        self._processors = processors
        self.name = name

    def getEffectiveLevel(self) -> int:  # noqa: N802 - stdlib's name
        return self._threshold

    def _write(self, fields: Any) -> None:
        try:
            for processor in self._processors:
                fields = processor(self, "", fields)
            self._handler.put(fields)
        except Exception:  # noqa: BLE001 - a line that can't be made harms nobody but itself
            self._handler.lose(self.name)

    debug = info = warning = error = critical = exception = _write


def _whole(_: WrappedLogger, __: str, fields: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    """Hand the fields on as they are."""
    return (fields,), {}


def _heard(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _scrub_foreign(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    fields["event"] = scrub_foreign(str(fields["event"]))
    return fields


def _render_exception(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    info = fields.pop("exc_info", None)
    fields.pop("stack_info", None)
    if isinstance(info, BaseException):
        error: BaseException | None = info
    elif isinstance(info, tuple):
        error = info[1]
    else:
        error = sys.exc_info()[1] if info else None
    if error is not None:
        fields["exception"] = render(error)
    else:
        fields.pop("exception", None)  # only what was rendered here is known to be scrubbed
    return fields


def _cut(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    return redact(fields)


def _one_line(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    """Escape control characters, so that no value can forge a line or steer the terminal."""
    for name, value in fields.items():
        if isinstance(value, str) and name != "exception":
            fields[name] = _escaped(value)
        elif isinstance(value, list):
            fields[name] = [_escaped(v) if isinstance(v, str) else v for v in value]
    return fields


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def _renderers(out: TextIO, format_: LogFormat) -> tuple[Any, ...]:
    terminal = out.isatty()
    if format_ == "json" or (format_ == "auto" and not terminal):
        return (structlog.processors.JSONRenderer(),)
    console = structlog.dev.ConsoleRenderer(
        colors=terminal, exception_formatter=structlog.dev.plain_traceback
    )
    return (_one_line, console)
