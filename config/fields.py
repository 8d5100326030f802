"""Building blocks of Settings: fields that know their bounds, and say in words what is allowed."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BeforeValidator, Field

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ALLOWED: Final = "allowed"
"""The key of json_schema_extra under which a field says in words what it takes."""


def seconds(default: float, lowest: float, highest: float, description: str) -> Any:
    """Make a duration field, in seconds."""
    return Field(
        default=default,
        ge=lowest,
        le=highest,
        allow_inf_nan=False,
        description=description,
        json_schema_extra={ALLOWED: f"a number of seconds from {lowest:g} to {highest:g}"},
    )


def count(default: int, lowest: int, highest: int, description: str) -> Any:
    """Make a whole-number field."""
    return Field(
        default=default,
        ge=lowest,
        le=highest,
        description=description,
        json_schema_extra={ALLOWED: f"a whole number from {lowest} to {highest}"},
    )


def field(default: Any, allowed: str, description: str) -> Any:
    """Make any other field; `allowed` completes the sentence "It must be …"."""
    return Field(default=default, description=description, json_schema_extra={ALLOWED: allowed})


def allowed_text(info: FieldInfo) -> str:
    """Return what a field takes, in words."""
    extra = info.json_schema_extra
    return str(extra[ALLOWED]) if isinstance(extra, dict) else "a valid value"


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        # A ValueError, because that is what pydantic collects.
        raise ValueError("true and false are not numbers")  # noqa: TRY004
    return value


def _filled(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is empty")
    return value


def _words(value: object) -> object:
    """Split an environment variable: a JSON array, or words as a shell would split them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError("it is not a JSON array") from error
    return shlex.split(value)


def numbers(value: object) -> object:
    """Split an environment variable: a JSON array, or numbers between spaces or commas."""
    if not isinstance(value, str):
        return value
    return _words(value) if value.lstrip().startswith("[") else value.replace(",", " ").split()


Seconds = Annotated[float, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool)]
Count = Annotated[int, BeforeValidator(_no_bool)]
Place = Annotated[Path, BeforeValidator(_filled)]
Text = Annotated[str, BeforeValidator(_filled)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Numbers = Annotated[tuple[float, ...], BeforeValidator(_words)]


def plain(value: object) -> str:
    """Return a value as it would be written in a configuration."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    if isinstance(value, tuple):
        return json.dumps(value)
    return str(value)
