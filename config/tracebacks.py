"""Exceptions as text that may be logged: types, files, lines and functions, and scrubbed messages.

No source lines and no local variables: where it happened is enough to find it.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from config.redaction import scrub, scrub_foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

# The interpreter's own complaints: what they quote are names in code, not data.
_NAMES_IN_QUOTES: Final = (AttributeError, ImportError, NameError, TypeError)
_FRAMES: Final = 40
_DEPTH: Final = 8
_LONGEST: Final = 500


def render(error: BaseException) -> str:
    """Return the exception, its frames and its causes, oldest cause first, one item a line."""
    return "\n".join(_lines(error, _DEPTH))


def _lines(error: BaseException, depth: int) -> Iterator[str]:
    if depth == 0:
        yield "(more causes left out)"
        return
    if error.__cause__ is not None:
        yield from _lines(error.__cause__, depth - 1)
        yield "the cause of:"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _lines(error.__context__, depth - 1)
        yield "while it was handled:"
    frames = traceback.extract_tb(error.__traceback__)
    if len(frames) > _FRAMES:
        yield f"  ({len(frames) - _FRAMES} outer frames left out)"
    for frame in frames[-_FRAMES:]:
        yield f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    yield _headline(error)
    if isinstance(error, BaseExceptionGroup):
        for number, inner in enumerate(error.exceptions, 1):
            yield f"  part {number}:"
            yield from (f"  {line}" for line in _lines(inner, depth - 1))


def _headline(error: BaseException) -> str:
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    # One line, so that a text can't pass for a frame of its own.
    text = " ".join(_message(error).split())[:_LONGEST]
    return f"{name}: {text}" if text else name


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return scrub(f"{error.strerror}: {error.filename}")
    try:
        text = str(error)
    except Exception as failure:  # noqa: BLE001 - any __str__ may fail; the log line must not
        return f"(its text failed with {type(failure).__name__})"
    return scrub(text) if isinstance(error, _NAMES_IN_QUOTES) else scrub_foreign(text)
