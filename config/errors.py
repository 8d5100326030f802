"""What can be wrong with a configuration.

SettingsError (code settings_invalid) is the only error; it lists every problem in one text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Problem:
    """One wrong key: its name as the user wrote it, and what is wrong. Never a secret."""

    key: str
    text: str


class SettingsError(Exception):
    """The configuration can't be used; correct what the text lists, then start again."""

    code: ClassVar[str] = "settings_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{problem.key} {problem.text}" for problem in self.problems]
        super().__init__("The settings are not valid:\n" + "\n".join(f"  {line}" for line in lines))
