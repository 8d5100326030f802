"""Load the settings from the command line, the environment and a file; describe them.

Precedence: command line, then WAFLEET_* variables, then the TOML file, then the defaults. In the
file a key is either flat (`api_port = 8480`) or in a table of its prefix (`[api]`, `port = 8480`).
Everything is checked at once: SettingsError names every wrong key as it was written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr, ValidationError

from config.errors import Problem, SettingsError
from config.fields import allowed_text, plain
from config.schema import Settings
from config.sources import CONFIG_VARIABLE, PREFIX, Source, Written, env_layer, file_layer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SettingRow", "Settings", "SettingsError", "describe", "load_settings"]

MASK: Final = "********"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One line of `wafleet config`; secrets are masked, an unset value is the empty string."""

    key: str
    value: str
    source: Source
    description: str


def load_settings(
    config_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Read every source, check everything, and return the settings.

    `config_file` is that of the command line and beats WAFLEET_CONFIG; a file that is named must
    exist. `env` None means the process environment. `overrides` are the command line's values by
    flat key; None among them means not given. Raises SettingsError.
    """
    variables = os.environ if env is None else env
    problems: list[Problem] = []
    written: dict[str, Written] = {}
    path = config_file
    if path is None and CONFIG_VARIABLE in variables:
        path = Path(variables[CONFIG_VARIABLE])
    known = Settings.model_fields.keys()
    if path is not None:
        label = "--config" if config_file is not None else CONFIG_VARIABLE
        written |= file_layer(path, label, known, problems)
    written |= env_layer(variables, known, problems)
    for key, value in (overrides or {}).items():
        if value is not None:
            written[key] = Written(f"--{key.replace('_', '-')}", value, "cli")
    try:
        settings = Settings.model_validate({key: entry.value for key, entry in written.items()})
    except ValidationError as error:
        problems += _field_problems(error, written)
    if problems:
        raise SettingsError(problems)
    settings._written.update(written)  # noqa: SLF001 - our own class
    return settings


def describe(settings: Settings) -> Sequence[SettingRow]:
    """Return every setting as it is in force, in the order of their definition."""
    rows = []
    for key, info in Settings.model_fields.items():
        value = getattr(settings, key)
        entry = settings._written.get(key)  # noqa: SLF001 - our own class
        rows.append(
            SettingRow(
                key=key,
                value=MASK if isinstance(value, SecretStr) else plain(value),
                source="default" if entry is None else entry.source,
                description=info.description or "",
            )
        )
    return rows


def _field_problems(error: ValidationError, written: Mapping[str, Written]) -> list[Problem]:
    problems = {}  # one per key: a list with three wrong items is one wrong value
    for detail in error.errors(include_url=False, include_input=False):
        key = str(detail["loc"][0])
        entry = written.get(key)
        label = PREFIX + key.upper() if entry is None else entry.label
        info = Settings.model_fields.get(key)
        if info is None:
            problems[key] = Problem(label, "there is no such setting")
            continue
        if entry is None:
            shown = "(not set)"
        elif _is_secret(key):
            shown = MASK
        else:
            shown = repr(entry.value)
        problems[key] = Problem(label, f"is {shown}; it must be {allowed_text(info)}")
    return list(problems.values())


def _is_secret(key: str) -> bool:
    return "SecretStr" in str(Settings.model_fields[key].annotation)
