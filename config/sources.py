"""Where settings are written: the environment and a TOML file; the name of each key is kept."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from config.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

PREFIX: Final = "WAFLEET_"
CONFIG_VARIABLE: Final = "WAFLEET_CONFIG"

Source = Literal["default", "env", "file", "cli"]


@dataclass(frozen=True, slots=True)
class Written:
    """A value as it was found: `label` is how the user wrote its key, and where."""

    label: str
    value: object
    source: Source


def env_layer(
    variables: Mapping[str, str], known: Collection[str], problems: list[Problem]
) -> dict[str, Written]:
    """Return the settings among the WAFLEET_* variables; unknown ones are added to `problems`."""
    found: dict[str, Written] = {}
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in known and name == PREFIX + key.upper():
            found[key] = Written(name, variables[name], "env")
        else:
            near = [PREFIX + key.upper() for key in _near(key, known)]
            problems.append(Problem(name, _unknown(near)))
    return found


def file_layer(
    path: Path, named_by: str, known: Collection[str], problems: list[Problem]
) -> dict[str, Written]:
    """Return the settings in a TOML file; whatever is wrong with it is added to `problems`.

    `named_by` is the option or variable that named the file, for the text about a missing one.
    """
    try:
        with path.open("rb") as stream:
            document = tomllib.load(stream)
    except OSError as error:
        problems.append(
            Problem(named_by, f"is {str(path)!r}; it must be a readable file ({error.strerror})")
        )
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), f"is not valid TOML: {error}"))
        return {}
    found: dict[str, Written] = {}
    for key, label, value in _flattened(document):
        where = f"{label} in {path.name}"
        if key not in known:
            problems.append(Problem(where, _unknown(_near(key, known))))
        elif key in found:
            problems.append(Problem(where, f"says the same as {found[key].label}; keep one"))
        else:
            found[key] = Written(where, value, "file")
    return found


def _flattened(document: Mapping[str, Any], tables: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (flat key, key as written, value); tables are prefixes of their keys."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{tables}.{name}" if tables else name)
        elif tables:
            yield f"{tables.replace('.', '_')}_{name}", f"[{tables}] {name}", value
        else:
            yield name, name, value


def _near(key: str, known: Collection[str]) -> list[str]:
    return difflib.get_close_matches(key, known, n=1)


def _unknown(near: list[str]) -> str:
    hint = f"; did you mean {near[0]}?" if near else "; `wafleet config` lists all of them"
    return "is not a setting" + hint
