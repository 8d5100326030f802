"""Settings of broadcasts: all or none, and no secret over a foreign wire."""

from __future__ import annotations

import pytest

from api.pusher import PusherDriver
from config.settings import MASK, SettingsError, describe, load_settings
from supervisor.wiring import broadcasts

pytestmark = pytest.mark.unit

WHOLE = {
    "broadcast_driver": "pusher",
    "pusher_url": "https://api-eu.pusher.com/",
    "pusher_app_id": "shop-1",
    "pusher_key": "278d425bdf160c739803",
    "pusher_secret": "7ad3773142a6692b25b8",
}


def env(**changes: str | None) -> dict[str, str]:
    values = {**WHOLE, **changes}
    return {f"WAFLEET_{key.upper()}": value for key, value in values.items() if value is not None}


def test_nothing_is_broadcast_by_default() -> None:
    settings = load_settings(env={})
    assert settings.broadcast_driver == "none"
    assert broadcasts(settings) is None
    rest = env(broadcast_driver=None)
    assert broadcasts(load_settings(env=rest)) is None


def test_a_whole_app_is_a_driver() -> None:
    settings = load_settings(env=env(broadcast_qr="false"))
    made = broadcasts(settings)
    assert made is not None
    assert isinstance(made.driver, PusherDriver)
    assert not made.with_qr
    assert made.driver.admission("1.1", "private-x").startswith("278d425bdf160c739803:")
    assert settings.pusher_url == "https://api-eu.pusher.com"


@pytest.mark.parametrize("key", ["pusher_url", "pusher_app_id", "pusher_key", "pusher_secret"])
def test_what_the_driver_lacks_is_named(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(env=env(**{key: None}))
    assert [problem.key for problem in caught.value.problems] == [f"WAFLEET_{key.upper()}"]
    assert "is (not set); it must be" in str(caught.value)
    assert "needed with broadcast_driver = pusher" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "plain", "taken"),
    [
        ("https://pusher.example", False, True),
        ("https://pusher.example:6001/base", False, True),
        ("http://127.0.0.1:6001", False, True),
        ("http://localhost:6001", False, True),
        ("http://[::1]:6001", False, True),
        ("http://reverb:8080", True, True),
        ("http://reverb:8080", False, False),
        ("http://10.0.0.5:8080", False, False),
        ("ftp://reverb", True, False),
        ("reverb:8080", True, False),
        ("https://", False, False),
        ("https://u:p@pusher.example", False, False),
        ("https://pusher.example/?x=1", False, False),
        ("https://pusher.example:99999", False, False),
    ],
)
def test_the_address_is_https_or_at_home_or_plain_on_purpose(
    url: str, *, plain: bool, taken: bool
) -> None:
    variables = env(pusher_url=url, pusher_allow_plain="true" if plain else "false")
    if taken:
        assert load_settings(env=variables).pusher_url == url
        return
    with pytest.raises(SettingsError, match="WAFLEET_PUSHER_URL"):
        load_settings(env=variables)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pusher_app_id", "../1"),
        ("pusher_app_id", "a b"),
        ("pusher_key", "a:b"),
        ("pusher_key", "-"),
        ("pusher_secret", " "),
        ("broadcast_driver", "soketi"),
        ("broadcast_timeout", "0"),
    ],
)
def test_what_can_t_be_right_is_named(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"WAFLEET_{key.upper()}"):
        load_settings(env=env(**{key: value}))


def test_the_secret_is_masked() -> None:
    settings = load_settings(env=env())
    rows = {row.key: row for row in describe(settings)}
    assert rows["pusher_secret"].value == MASK
    assert WHOLE["pusher_secret"] not in f"{settings!r}{rows}{broadcasts(settings)!r}"
