"""Channels and signatures of broadcasts, held to the examples in Pusher's own documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.channels import Channel, channel_name, parse_channel
from api.pusher import PusherApp, channel_signature, signed_query

pytestmark = pytest.mark.unit

APP = PusherApp(
    url="https://api.pusherapp.com",
    app_id="3",
    key="278d425bdf160c739803",
    secret="7ad3773142a6692b25b8",
)
ULID = "01J9ZS8XQ2N4B6D8F0H2K4M6P8"


def test_a_request_is_signed_as_documented() -> None:
    body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
    assert signed_query(APP, "POST", "/apps/3/events", body, 1_353_088_179) == {
        "auth_key": "278d425bdf160c739803",
        "auth_timestamp": "1353088179",
        "auth_version": "1.0",
        "body_md5": "ec365a775a4cd0599faeb73354201b6f",
        "auth_signature": "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
    }


def test_a_channel_is_signed_as_documented() -> None:
    assert channel_signature(APP, "1234.1234", "private-foobar") == (
        "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    )


def test_the_secret_is_in_no_repr() -> None:
    assert APP.secret not in repr(APP)


@pytest.mark.parametrize("kind", list(Channel))
def test_a_channel_s_name_is_private_and_can_be_taken_apart(kind: Channel) -> None:
    name = channel_name(kind, ULID)
    assert name == f"private-wafleet-{kind.value}-{ULID}"
    assert parse_channel(name) == (kind, ULID)


@pytest.mark.parametrize(
    "name",
    [
        "",
        f"wafleet-session-{ULID}",
        f"presence-wafleet-session-{ULID}",
        f"private-wafleet-session-{ULID.lower()}",
        f"private-wafleet-session-{ULID}\n",
        f"private-wafleet-session-{ULID}x",
        f"private-wafleet-message-{ULID}",
        f" private-wafleet-session-{ULID}",
    ],
)
def test_other_names_are_none_of_ours(name: str) -> None:
    assert parse_channel(name) is None


@given(st.text())
def test_any_text_is_a_channel_or_none(name: str) -> None:
    parsed = parse_channel(name)
    assert parsed is None or channel_name(*parsed) == name
