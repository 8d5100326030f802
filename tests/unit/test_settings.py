"""Settings: precedence, bounds, and complaints that name the key as the user wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.fields import allowed_text
from config.settings import MASK, Settings, SettingsError, describe, load_settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unit

KEY = "wsk_0123456789abcdef"
SPKI = "A" * 43 + "="
RULES = "MAP web.whatsapp.com 127.0.0.1:8443"


def load(path: Path | None = None, /, **env: str) -> Settings:
    return load_settings(path, env=env)


def complaint(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(*args, **{"env": {}, **kwargs})
    assert caught.value.code == "settings_invalid"
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "wafleet.toml"


def test_defaults_are_safe() -> None:
    settings = load()
    assert settings.api_host == "127.0.0.1"
    assert settings.api_port == 8480
    assert not settings.api_allow_remote
    assert settings.api_key is None
    assert settings.chromium_no_sandbox is None
    assert settings.whatsapp_url == "https://web.whatsapp.com"
    assert settings.data_dir.is_absolute()
    assert settings.data_dir.name == "data"


def test_every_setting_says_what_it_is_and_takes() -> None:
    for key, info in Settings.model_fields.items():
        assert info.description, key
        assert info.description.endswith("."), key
        assert allowed_text(info) != "a valid value", key


def test_the_process_environment_is_read_only_by_load_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAFLEET_API_PORT", "1234")
    assert load_settings().api_port == 1234
    assert Settings().api_port == 8480


def test_precedence_and_where_each_value_is_from(toml: Path) -> None:
    toml.write_text("[api]\nport = 1\n[launch]\nslots = 3\ntimeout = 7\n")
    env = {"WAFLEET_LAUNCH_SLOTS": "4", "WAFLEET_API_PORT": "2", "HOME": "/nowhere"}
    settings = load_settings(toml, env, {"api_port": 5, "log_level": None})
    assert (settings.api_port, settings.launch_slots, settings.launch_timeout) == (5, 4, 7.0)
    rows = {row.key: row for row in describe(settings)}
    assert rows.keys() == Settings.model_fields.keys()
    assert {key: row.source for key, row in rows.items() if row.source != "default"} == {
        "api_port": "cli",
        "launch_slots": "env",
        "launch_timeout": "file",
    }
    assert rows["api_port"].value == "5"
    assert rows["launch_timeout"].value == "7"
    assert rows["stop_timeout"].value == "30"
    assert rows["user_agent"].value == ""


def test_flat_keys_in_the_file(toml: Path) -> None:
    toml.write_text('api_port = 1\nchromium_extra_args = ["--a=b,c", "--d"]\n')
    settings = load(toml)
    assert (settings.api_port, settings.chromium_extra_args) == (1, ("--a=b,c", "--d"))


def test_the_file_named_by_the_command_line_beats_the_variable(toml: Path, tmp_path: Path) -> None:
    toml.write_text("api_port = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("api_port = 2\n")
    assert load(WAFLEET_CONFIG=str(toml)).api_port == 1
    assert load(other, WAFLEET_CONFIG=str(toml)).api_port == 2


def test_paths_are_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert load(WAFLEET_DATA_DIR="~/x").data_dir == tmp_path / "x"
    assert load(WAFLEET_DATA_DIR="x").data_dir == tmp_path / "x"
    assert load(WAFLEET_CHROMIUM_PATH="/usr/bin/chromium").chromium_path is not None


def test_secrets_are_masked() -> None:
    settings = load(WAFLEET_API_KEY=KEY)
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == KEY
    rows = {row.key: row for row in describe(settings)}
    assert rows["api_key"].value == MASK
    assert KEY not in f"{settings!r}{settings}{rows}{settings.model_dump_json()}"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load().api_port = 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["--a", "--b=c d"]', ("--a", "--b=c d")),
        ("--a --b='c d'", ("--a", "--b=c d")),
        ("--a", ("--a",)),
        ("", ()),
        ("[]", ()),
    ],
)
def test_lists_in_a_variable(text: str, words: tuple[str, ...]) -> None:
    assert load(WAFLEET_CHROMIUM_EXTRA_ARGS=text).chromium_extra_args == words


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WAFLEET_DATA_DIR", ""),
        ("WAFLEET_DATA_DIR", "~nobody-of-that-name/data"),
        ("WAFLEET_CHROMIUM_PATH", " "),
        ("WAFLEET_CHROMIUM_PATH", "a\0b"),
        ("WAFLEET_API_PORT", "65536"),
        ("WAFLEET_API_PORT", "-1"),
        ("WAFLEET_API_PORT", "8480.5"),
        ("WAFLEET_API_PORT", ""),
        ("WAFLEET_API_HOST", "0.0.0.0"),  # noqa: S104
        ("WAFLEET_API_HOST", "::"),
        ("WAFLEET_API_HOST", "example.org"),
        ("WAFLEET_API_HOST", " "),
        ("WAFLEET_API_ALLOW_REMOTE", "maybe"),
        ("WAFLEET_LOG_LEVEL", "loud"),
        ("WAFLEET_LOG_FORMAT", "xml"),
        ("WAFLEET_CHROMIUM_NO_SANDBOX", ""),
        ("WAFLEET_CHROMIUM_EXTRA_ARGS", "a"),
        ("WAFLEET_CHROMIUM_EXTRA_ARGS", "['--a']"),
        ("WAFLEET_CHROMIUM_EXTRA_ARGS", "--a 'b"),
        ("WAFLEET_CHROMIUM_EXTRA_ARGS", '["--a", 3]'),
        ("WAFLEET_WHATSAPP_URL", "http://web.whatsapp.com"),
        ("WAFLEET_WHATSAPP_URL", "https://user@web.whatsapp.com"),
        ("WAFLEET_WHATSAPP_URL", "https://"),
        ("WAFLEET_USER_AGENT", "a\nb"),
        ("WAFLEET_LAUNCH_TIMEOUT", "0"),
        ("WAFLEET_LAUNCH_TIMEOUT", "nan"),
        ("WAFLEET_LAUNCH_TIMEOUT", "inf"),
        ("WAFLEET_LAUNCH_TIMEOUT", "30s"),
        ("WAFLEET_LAUNCH_SLOTS", "0"),
        ("WAFLEET_BUSY_TIMEOUT", "1e9"),
        ("WAFLEET_RESTART_BACKOFF_MAX", "0.5"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(variable: str, value: str) -> None:
    key = variable.removeprefix("WAFLEET_").lower()
    text = complaint(env={variable: value})
    assert f"{variable} is {value!r}; it must be " in text
    assert allowed_text(Settings.model_fields[key]) in text
    assert len(text.splitlines()) == 2, "one problem, one line"


@pytest.mark.parametrize("key", ["", "short", "x" * 15, "with a space in the middle", "umläut" * 5])
def test_a_bad_api_key_is_refused_and_not_shown(key: str) -> None:
    text = complaint(env={"WAFLEET_API_KEY": key})
    assert f"WAFLEET_API_KEY is {MASK}; it must be at least 16 characters" in text
    assert not key or key not in text


def test_a_wrong_key_in_the_file_is_named_as_written(toml: Path) -> None:
    toml.write_text('data_dir = 3\n[api]\nport = "x"\n[restart.backoff]\nfirst = true\n')
    text = complaint(toml)
    assert "data_dir in wafleet.toml is 3; it must be a directory" in text
    assert "[api] port in wafleet.toml is 'x'; it must be a whole number from 0 to 65535" in text
    assert "[restart.backoff] first in wafleet.toml is True; it must be a number of sec" in text


def test_a_wrong_option_is_named_as_an_option() -> None:
    assert "--api-port is 70000; it must be a whole" in complaint(overrides={"api_port": 70000})


def test_all_problems_are_listed_at_once(toml: Path) -> None:
    toml.write_text("[api]\nprot = 1\nport = 99999\n")
    env = {"WAFLEET_LAUNCH_SLOTS": "x", "WAFLEET_API_KYE": "1", "WAFLEET_api_port": "1"}
    with pytest.raises(SettingsError) as caught:
        load_settings(toml, env=env)
    assert {problem.key for problem in caught.value.problems} == {
        "[api] prot in wafleet.toml",
        "[api] port in wafleet.toml",
        "WAFLEET_LAUNCH_SLOTS",
        "WAFLEET_API_KYE",
        "WAFLEET_api_port",
    }
    text = str(caught.value)
    assert "[api] prot in wafleet.toml is not a setting; did you mean api_port?" in text
    assert "WAFLEET_API_KYE is not a setting; did you mean WAFLEET_API_KEY?" in text
    assert "WAFLEET_api_port is not a setting; did you mean WAFLEET_API_PORT?" in text


def test_something_quite_unknown() -> None:
    assert "WAFLEET_ZZZZ is not a setting; `wafleet config`" in complaint(env={"WAFLEET_ZZZZ": "1"})
    assert "--zzzz" in complaint(overrides={"zzzz": 1})


def test_the_same_key_twice_in_the_file(toml: Path) -> None:
    toml.write_text("api_port = 1\n[api]\nport = 2\n")
    assert "[api] port in wafleet.toml says the same as api_port in" in complaint(toml)


@pytest.mark.parametrize("content", [b"api_port = \n", b"\xff\xfe", b"[api\n", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml(toml: Path, content: bytes) -> None:
    toml.write_bytes(content)
    assert f"{toml} is not valid TOML" in complaint(toml)


def test_a_file_that_is_not_there(toml: Path, tmp_path: Path) -> None:
    assert "--config is " in complaint(toml)
    assert "WAFLEET_CONFIG is " in complaint(env={"WAFLEET_CONFIG": str(toml)})
    assert "--config is " in complaint(tmp_path)  # a directory


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_hosts_need_no_permission(host: str) -> None:
    assert load(WAFLEET_API_HOST=host).api_host == host


def test_other_hosts_need_permission(toml: Path) -> None:
    env = {"WAFLEET_API_HOST": "0.0.0.0", "WAFLEET_API_ALLOW_REMOTE": "true"}  # noqa: S104
    assert load_settings(env=env).api_allow_remote
    toml.write_text('[api]\nhost = "10.0.0.1"\n')
    assert "[api] host in wafleet.toml is '10.0.0.1'" in complaint(toml)


def test_the_simulator_is_reached_with_both_or_neither() -> None:
    both = load(WAFLEET_HOST_RESOLVER_RULES=RULES, WAFLEET_TRUSTED_SPKI=SPKI)
    assert (both.host_resolver_rules, both.trusted_spki) == (RULES, SPKI)
    only_rules = complaint(env={"WAFLEET_HOST_RESOLVER_RULES": RULES})
    assert "WAFLEET_TRUSTED_SPKI is (not set); it must be" in only_rules
    assert "host_resolver_rules" in complaint(env={"WAFLEET_TRUSTED_SPKI": SPKI})
    bad = complaint(env={"WAFLEET_HOST_RESOLVER_RULES": RULES, "WAFLEET_TRUSTED_SPKI": "abc"})
    assert "WAFLEET_TRUSTED_SPKI is 'abc'" in bad


def test_backoff_bounds_fit_together() -> None:
    env = {"WAFLEET_RESTART_BACKOFF_FIRST": "100", "WAFLEET_RESTART_BACKOFF_MAX": "10"}
    assert "WAFLEET_RESTART_BACKOFF_MAX is '10'" in complaint(env=env)


HELD_TO = {
    "trusted_spki": "host_resolver_rules",
    "restart_backoff_max": "restart_backoff_first",
    "disk_low_mb": "disk_full_mb",
    "memory_hard_mb": "memory_soft_mb",
    "memory_kill_mb": "memory_hard_mb",
    "cpu_pressure_low": "cpu_pressure_high",
    "memory_pressure_low": "memory_pressure_high",
    "memory_used_low": "memory_used_high",
    "load_low": "load_high",
    **dict.fromkeys(
        ("pusher_url", "pusher_app_id", "pusher_key", "pusher_secret"), "broadcast_driver"
    ),
}
"""What is refused although it is not set, since the other one was set to something else."""


@given(st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=20)))
@example({"memory_used_high": "1"})
@example({"broadcast_driver": "pusher"})
@example({"memory_soft_mb": "65536"})
def test_any_environment_gives_settings_or_one_error(values: dict[str, str]) -> None:
    env = {f"WAFLEET_{key.upper()}": value for key, value in values.items()}
    try:
        settings = load_settings(env=env)
    except SettingsError as error:
        named = {problem.key for problem in error.problems}
    else:
        named = set()
        assert len(describe(settings)) == len(Settings.model_fields)
    for key in named - env.keys():  # a pair is complained about as one, by the name of the second
        assert f"WAFLEET_{HELD_TO[key.removeprefix('WAFLEET_').lower()].upper()}" in env


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ("disk_full_mb", "disk_low_mb"),
        ("memory_soft_mb", "memory_hard_mb"),
        ("memory_hard_mb", "memory_kill_mb"),
    ],
)
def test_limits_come_in_their_order(lower: str, upper: str) -> None:
    values = {"disk_low_mb": "99", "memory_hard_mb": "99", "memory_kill_mb": "99"}
    low = {"disk_full_mb": "9", "memory_soft_mb": "9"}
    env = {f"WAFLEET_{key.upper()}": each for key, each in {**values, **low}.items()}
    load(None, **env)
    load(None, **{**env, f"WAFLEET_{lower.upper()}": "99", f"WAFLEET_{upper.upper()}": "99"})
    text = complaint(env={**env, f"WAFLEET_{upper.upper()}": "8"})
    assert upper.upper() in text


def test_a_budget_is_unset_or_some_memory() -> None:
    assert load().memory_budget_mb is None
    assert load(None, WAFLEET_MEMORY_BUDGET_MB="600").memory_budget_mb == 600
    for wrong in ("0", "-1", "x"):
        assert "MEMORY_BUDGET_MB" in complaint(env={"WAFLEET_MEMORY_BUDGET_MB": wrong})


@pytest.mark.parametrize(
    ("env", "key"),
    [
        ({"MAX_SESSIONS": "51"}, "MAX_SESSIONS"),
        ({"MAX_SESSIONS": "0"}, "MAX_SESSIONS"),
        ({"QR_WINDOWS": "6"}, "QR_WINDOWS"),
        ({"QR_WINDOWS": "0"}, "QR_WINDOWS"),
        ({"QR_PERIOD": "3599"}, "QR_PERIOD"),
        ({"SEND_PER_MINUTE": "21"}, "SEND_PER_MINUTE"),
        ({"SEND_PER_MINUTE": "0"}, "SEND_PER_MINUTE"),
        ({"SEND_PER_HOUR": "501"}, "SEND_PER_HOUR"),
        ({"SEND_PER_DAY": "5001"}, "SEND_PER_DAY"),
        ({"WARM_UP": "5 4"}, "WARM_UP"),
        ({"WARM_UP": "0, 4"}, "WARM_UP"),
        ({"WARM_UP": "x"}, "WARM_UP"),
        ({"WARM_UP": "1 " * 91}, "WARM_UP"),
        ({"SEND_DELAY_GROWTH": "-1"}, "SEND_DELAY_GROWTH"),
        ({"SEND_DELAY_GROWTH": "nan"}, "SEND_DELAY_GROWTH"),
        ({"SEND_DELAY": "-1"}, "SEND_DELAY"),
        ({"CPU_PRESSURE_LOW": "100"}, "CPU_PRESSURE_LOW"),
        ({"MEMORY_PRESSURE_HIGH": "4"}, "MEMORY_PRESSURE_LOW"),
        ({"LOAD_HIGH": "2"}, "LOAD_LOW"),
    ],
)
def test_capacity_can_be_lowered_and_not_raised(env: dict[str, str], key: str) -> None:
    """And a low mark is never above its high one."""
    assert f"WAFLEET_{key} is " in complaint(env={f"WAFLEET_{k}": v for k, v in env.items()})


def test_only_a_simulator_shows_more_qr_codes() -> None:
    load(WAFLEET_QR_WINDOWS="1", WAFLEET_QR_PERIOD="86400")
    place = {"WAFLEET_HOST_RESOLVER_RULES": RULES, "WAFLEET_TRUSTED_SPKI": SPKI}
    simulated = load(WAFLEET_QR_WINDOWS="100", WAFLEET_QR_PERIOD="0.5", **place)
    assert (simulated.qr_windows, simulated.qr_period) == (100, 0.5)
    assert "5" in complaint(env={"WAFLEET_QR_WINDOWS": "6"})


def test_only_a_simulator_lets_a_number_send_more() -> None:
    lower = load(WAFLEET_SEND_PER_MINUTE="1", WAFLEET_SEND_PER_DAY="10")
    assert (lower.send_per_minute, lower.send_per_hour, lower.send_per_day) == (1, 500, 10)
    place = {"WAFLEET_HOST_RESOLVER_RULES": RULES, "WAFLEET_TRUSTED_SPKI": SPKI}
    assert load(WAFLEET_SEND_PER_MINUTE="100000", **place).send_per_minute == 100_000
    assert "20" in complaint(env={"WAFLEET_SEND_PER_MINUTE": "21"})


@pytest.mark.parametrize(
    ("text", "days"), [("5, 10 20", (5, 10, 20)), ("[7]", (7,)), ("[]", ()), ("3 3", (3, 3))]
)
def test_a_warm_up_is_a_schedule(text: str, days: tuple[int, ...]) -> None:
    assert load(WAFLEET_WARM_UP=text).warm_up == days
