"""The settings of streams: without them all is as in the code, and each of them gets there."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from api.event_docs import PLACE
from api.event_stream import StreamRules
from config.fields import allowed_text, plain
from config.settings import Settings, SettingsError, load_settings
from config.streams import StreamSettings
from supervisor.wiring import stream_rules

pytestmark = pytest.mark.unit

KEYS = sorted(StreamSettings.model_fields)
ROW = re.compile(r"^\| `(\w+)` \| ([\d.]+)(?: s)? \| ([\d.]+), ([\d.]+) \|", re.MULTILINE)


def test_the_defaults_are_those_of_the_code() -> None:
    assert stream_rules(Settings()) == StreamRules()


def test_each_setting_reaches_a_rule_of_its_own() -> None:
    """All rules but how often we look for clients that have left, which nobody has to set."""
    numbers = {key: number for number, key in enumerate(KEYS, start=30)}
    rules = stream_rules(Settings(**numbers))  # type: ignore[arg-type]
    values = {each.name: getattr(rules, each.name) for each in fields(rules)}
    assert values.pop("glance") == StreamRules().glance
    assert sorted(values.values()) == sorted(numbers.values())
    assert (rules.most, rules.most_per_workspace) == (
        numbers["max_streams"],
        numbers["max_workspace_streams"],
    )
    assert (rules.heartbeat, rules.ping) == (numbers["stream_heartbeat"], numbers["stream_ping"])
    assert (rules.write, rules.room) == (numbers["stream_write_timeout"], numbers["stream_room"])
    assert rules.goodbye == numbers["stream_goodbye_timeout"]


def test_the_page_about_events_has_them_all_as_they_are() -> None:
    rows = {key: rest for key, *rest in ROW.findall(PLACE.read_text("utf-8"))}
    assert sorted(rows) == KEYS
    for key, (default, lowest, highest) in rows.items():
        info = Settings.model_fields[key]
        assert default == plain(info.default)
        assert allowed_text(info).endswith(f" from {lowest} to {highest}")


@pytest.mark.parametrize("key", KEYS)
def test_none_of_them_can_be_nothing_or_without_end(key: str) -> None:
    for value in ("0", "-1", "100001", "inf", "nan", ""):
        with pytest.raises(SettingsError, match=f"WAFLEET_{key.upper()} is"):
            load_settings(env={f"WAFLEET_{key.upper()}": value})
