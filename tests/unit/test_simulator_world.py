"""The world model, the login snapshot, the state file's text and the faults' registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.entities import AutoScan, Contact, Message, Stanza
from simulator.errors import ConflictError, InvalidRequestError, NotFoundError
from simulator.faults import SPECS, DropAcks, Faults, Latency, MissingModule
from simulator.jid import group_jid, lid_jid, pn_jid
from simulator.snapshot import login_frame
from simulator.state_file import StateError, dump, load
from simulator.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.unit

ALICE, BETA, ANN = "15550100001", "15550100002", "15550100100"


def small_world() -> World:
    world = World()
    world.add_account(ALICE, "Alice")
    world.add_contact(Contact(number=ANN, name="Ann", addressing="lid"))
    return world


def incoming(message_id: str, chat: str = lid_jid(ANN), t: int = 1) -> Message:
    return Message(
        id=message_id, chat=chat, from_me=False, sender=ANN, t=t, body="hi " + message_id, ack=1
    )


def test_accounts_take_the_next_free_fictional_number() -> None:
    world = small_world()
    assert world.add_account(None, None).number == BETA
    assert world.add_account(None, None).number == "15550100003"


@pytest.mark.parametrize("number", [ALICE, ANN])
def test_a_number_belongs_to_one(number: str) -> None:
    world = small_world()
    with pytest.raises(ConflictError) as caught:
        world.add_account(number, None)
    assert caught.value.code == "number_taken"


def test_both_addresses_mean_the_same_person() -> None:
    world = small_world()
    assert world.resolve(pn_jid(ANN)) is world.resolve(lid_jid(ANN)) is world.contacts[ANN]
    assert world.resolve(f"{ANN}@s.whatsapp.net") is world.contacts[ANN]
    assert world.resolve(pn_jid("15550109999")) is None
    assert world.resolve("x@broadcast") is None
    assert world.resolve("") is None


@pytest.mark.parametrize(
    ("lookup", "argument", "code"),
    [
        (World.account, ANN, "account_unknown"),
        (World.contact, ALICE, "contact_unknown"),
        (World.group, "1", "group_unknown"),
        (World.require_person, "15550109999", "person_unknown"),
    ],
)
def test_lookups_name_what_is_missing(
    lookup: Callable[[World, str], object], argument: str, code: str
) -> None:
    with pytest.raises(NotFoundError) as caught:
        lookup(small_world(), argument)
    assert caught.value.code == code


def test_a_device_needs_its_secret_and_room() -> None:
    world = small_world()
    account = world.account(ALICE)
    device = world.link(account, "s1", now_ms=5, limit=1)
    assert device.id == f"{ALICE}:1"
    assert world.device(device.id, "s1") == (account, device)
    assert world.device(device.id, "s2") is None
    assert world.device("nobody:1", "s1") is None
    with pytest.raises(ConflictError) as caught:
        world.link(account, "s2", now_ms=6, limit=1)
    assert caught.value.code == "device_limit"
    del account.devices[device.id]
    assert world.link(account, "s3", now_ms=7, limit=1).id == f"{ALICE}:2"


def test_a_group_needs_people_who_exist_and_an_account() -> None:
    world = small_world()
    with pytest.raises(NotFoundError):
        world.add_group("g", [ALICE, "15550109999"])
    with pytest.raises(InvalidRequestError) as caught:
        world.add_group("g", [ANN])
    assert caught.value.code == "no_account"
    group = world.add_group("g", [ALICE, ANN, ANN])
    assert group.participants == [ALICE, ANN]
    assert group_jid(group.id) in world.account(ALICE).chats
    assert world.resolve(group_jid(group.id)) is group


def test_login_brings_history_but_not_what_is_still_queued() -> None:
    world = small_world()
    account = world.account(ALICE)
    device = world.link(account, "s", 0, 4)
    for nth in range(5):
        world.store(account, incoming(f"M{nth}", t=nth))
    queued = account.chats[lid_jid(ANN)].messages["M4"]
    device.queue.append(Stanza("s1", {"op": "message", "msg": queued.frame()}))
    frame = login_frame(world, account, device, history=2)
    (chat,) = frame["chats"]
    assert [m["id"] for m in chat["msgs"]] == ["M2", "M3"]
    assert (chat["unread"], chat["name"], frame["offline"]) == (4, "Ann", 1)
    assert {p["pn"] for p in frame["people"]} == {pn_jid(ALICE), pn_jid(ANN)}


texts = st.text(max_size=5)


@given(
    st.lists(st.tuples(texts, st.integers(0, 3), st.booleans()), max_size=6),
    st.booleans(),
    texts,
)
def test_the_state_file_keeps_the_world(
    messages: list[tuple[str, int, bool]], armed: bool, name: str
) -> None:
    world = small_world()
    account = world.add_account(BETA, name)
    account.auto_scan = AutoScan(delay_ms=3, repeat=True) if armed else None
    device = world.link(account, "secret", 9, 4)
    world.add_group(name, [ALICE, ANN])
    for nth, (body, ack, from_me) in enumerate(messages):
        message = incoming(f"M{nth}")
        message.body, message.ack, message.from_me = body, ack, from_me
        world.store(account, message)
        device.queue.append(Stanza(f"s{nth}", {"op": "message", "msg": message.frame()}))
    world.contacts[ANN].shown["X"] = {"body": name}
    restored = World()
    load(dump(world), restored)
    assert restored == world


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 99}'])
def test_a_foreign_state_file_is_refused(text: str) -> None:
    with pytest.raises(StateError) as caught:
        load(text, World())
    assert caught.value.code == "state_unreadable"


def test_faults_apply_to_their_number_or_to_all() -> None:
    faults = Faults()
    one = faults.set("latency", ALICE, {"ms": 10})
    assert faults.find(Latency, ALICE) == Latency(ms=10)
    assert faults.find(Latency, BETA) is None
    assert faults.find(Latency) is None
    faults.set("latency", None, {"ms": 20})
    assert faults.find(Latency, ALICE) == faults.find(Latency) == Latency(ms=20)
    faults.clear(one.id)
    with pytest.raises(NotFoundError):
        faults.clear(one.id)
    assert [f.describe() for f in faults.active.values()] == [
        {"id": "fault-2", "kind": "latency", "number": None, "lasting": True, "ms": 20}
    ]


def test_only_lasting_faults_stay() -> None:
    faults = Faults()
    assert not faults.set("disconnect", ALICE, {}).lasting
    assert faults.set("drop_acks", ALICE, {"levels": [1]}).lasting
    assert [f.params for f in faults.active.values()] == [DropAcks(levels=[1])]


@pytest.mark.parametrize(
    ("kind", "number", "params", "code"),
    [
        ("earthquake", None, {}, "fault_unknown"),
        ("missing_module", ALICE, {"name": "M"}, "fault_is_global"),
        ("missing_module", None, {}, "missing_field"),
        ("latency", None, {"ms": "x"}, "invalid_field"),
        ("latency", None, {"ms": 1, "s": 2}, "unknown_field"),
    ],
)
def test_wrong_faults_are_refused(
    kind: str, number: str | None, params: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Faults().set(kind, number, params)
    assert caught.value.code == code


def test_every_fault_of_the_table_can_be_set() -> None:
    needed: dict[str, dict[str, Any]] = {
        "latency": {"ms": 1},
        "missing_module": {"name": "M"},
        "slow_page": {"ms": 1},
        "memory_growth": {"mb_per_s": 1},
    }
    faults = Faults()
    for kind in SPECS:
        faults.set(kind, None, needed.get(kind, {}))
    assert faults.all(MissingModule) == [MissingModule(name="M")]
