"""Keys over their lives, and the access log that their use leaves behind."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from api.authentication import CACHE_SECONDS, Authenticator, Denied
from api.background import Background
from api.keys import EVERY_SCOPE, Scope
from storage.store import StoreUnusable
from tests.integration.test_api_server import KEY, Api, running_api
from tests.integration.test_api_tenants import BODIES, made_key, tenant
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from storage.audit import AccessEntry

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def entries(api: Api, workspace_id: str, count: int) -> Sequence[AccessEntry]:
    """Return the access log, oldest first, once it has this many entries."""
    found: list[AccessEntry] = []

    async def enough() -> bool:
        found[:] = reversed(await api.deps.store.access_log(workspace_id, limit=500))
        return len(found) >= count

    await eventually_async(enough)
    assert len(found) == count, found
    assert await api.deps.store.verify_access_log(workspace_id) is None
    return found


# ---- keys ----


async def test_the_bootstrap_key_is_the_first_administrator_s(tmp_path: Path) -> None:
    """Stored once, with every scope, as a hash; and it stays what it is over restarts."""
    for _ in range(2):
        async with running_api(tmp_path) as api:
            [record] = await api.deps.store.keys(api.deps.workspace_id)
            assert (record.name, record.scopes) == ("bootstrap", EVERY_SCOPE)
            assert record.expires_ms is None
            [shown] = (await api.get("/v1/keys")).json["keys"]
            assert shown["id"] == record.id
    with closing(sqlite3.connect(tmp_path / "wafleet.db")) as plain:
        assert KEY not in "\n".join(plain.iterdump())


async def test_a_revoked_bootstrap_key_stays_revoked(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        [record] = await api.deps.store.keys(api.deps.workspace_id)
        assert (await api.call("DELETE", f"/v1/keys/{record.id}")).status == 204
        assert (await api.get("/v1/sessions")).code == "key_revoked"
    with capture_logs() as logs:
        async with running_api(tmp_path) as api:
            assert (await api.get("/v1/sessions")).code == "key_revoked"
            assert (await api.get("/metrics")).code == "key_revoked"
    assert "bootstrap_key_unusable" in [entry["event"] for entry in logs]


async def test_another_bootstrap_key_takes_the_former_s_place(tmp_path: Path) -> None:
    async with running_api(tmp_path):
        pass
    async with running_api(tmp_path, api_key="another-bootstrap-key") as api:
        assert (await api.get("/v1/sessions")).code == "unauthorized"
        headers = {"Authorization": "Bearer another-bootstrap-key"}
        assert (await api.call("GET", "/v1/sessions", headers=headers)).status == 200
        assert len(await api.deps.store.keys(api.deps.workspace_id)) == 2


async def test_a_key_is_made_used_and_revoked_over_http(api: Api) -> None:
    one = await tenant(api, "one")
    body = {"name": "dashboard", "scopes": ["session:read", "message:read"], "expires_in": 3600}
    made = await one.call("POST", "/v1/keys", body)
    assert made.status == 201
    key = made.json
    assert re.fullmatch(r"wsk_live_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}", key["key"])
    assert key["scopes"] == ["message:read", "session:read"]
    assert (key["sessions"], key["revoked_at"], key["last_used_at"]) == (None, None, None)
    theirs = replace(one, key=key["key"])
    assert (await theirs.get("/v1/sessions/a")).status == 200
    refused = await theirs.call("POST", "/v1/sessions/a/stop")
    assert (refused.status, refused.code) == (403, "scope_missing")
    listed = (await one.get("/v1/keys")).json["keys"]
    assert [k["name"] for k in listed] == ["a key", "dashboard"]
    assert "key" not in listed[1]
    assert key["key"][-49:] not in str(listed)
    for _ in range(2):
        assert (await one.call("DELETE", f"/v1/keys/{key['id']}")).status == 204
    revoked = await theirs.get("/v1/sessions/a")
    assert (revoked.status, revoked.code) == (401, "key_revoked")
    assert revoked.headers["WWW-Authenticate"]


async def test_a_key_gives_no_more_than_it_has(api: Api) -> None:
    one = await tenant(api, "one")
    admin, _ = await made_key(api, one.id, [Scope.KEY_ADMIN, Scope.SESSION_READ])
    body = {"name": "b", "scopes": ["session:read", "session:write"]}
    refused = await replace(one, key=admin).call("POST", "/v1/keys", body)
    assert (refused.status, refused.code) == (403, "scope_not_own")
    assert "session:write" in refused.json["detail"]
    limited, _ = await made_key(api, one.id, sessions=[one.session])
    refused = await replace(one, key=limited).call("POST", "/v1/keys", BODIES["POST", "/v1/keys"])
    assert (refused.status, refused.code) == (403, "key_limited")


async def test_a_key_for_foreign_sessions_is_not_made(api: Api) -> None:
    one, other = await tenant(api, "one"), await tenant(api, "other")
    body = {"name": "b", "scopes": ["session:read"]}
    for session, status in ((one.session, 201), (other.session, 404)):
        made = await one.call("POST", "/v1/keys", {**body, "sessions": [session]})
        assert made.status == status
    assert len(await api.deps.store.keys(one.id)) == 2


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": " "}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"scopes": []}, ["scopes"]),
        ({"scopes": ["root"]}, ["scopes.0"]),
        ({"scopes": "session:read"}, ["scopes"]),
        ({"sessions": []}, ["sessions"]),
        ({"sessions": ["a"]}, ["sessions.0"]),
        ({"expires_in": 59}, ["expires_in"]),
        ({"expires_in": "60"}, ["expires_in"]),
    ],
)
async def test_wrong_keys_are_not_made(
    api: Api, changes: dict[str, Any], fields: list[str]
) -> None:
    body = {"name": "b", "scopes": ["session:read"], **changes}
    refused = await api.post("/v1/keys", body)
    assert (refused.status, refused.fields) == (422, fields)


async def test_a_key_ends_when_it_expires(tmp_path: Path) -> None:
    clock = [1_800_000_000_000]
    async with running_api(tmp_path, now_ms=lambda: clock[0]) as api:
        text, _ = await made_key(api, api.deps.workspace_id, expires_ms=clock[0] + 1000)
        headers = {"Authorization": f"Bearer {text}"}
        clock[0] += 999
        assert (await api.call("GET", "/v1/sessions", headers=headers)).status == 200
        clock[0] += 1
        expired = await api.call("GET", "/v1/sessions", headers=headers)
        assert (expired.status, expired.code) == (401, "key_expired")


async def test_use_is_noted_once_a_minute(tmp_path: Path) -> None:
    clock = [1_800_000_000_000]
    async with running_api(tmp_path, now_ms=lambda: clock[0]) as api:
        text, key_id = await made_key(api, api.deps.workspace_id)
        headers = {"Authorization": f"Bearer {text}"}
        store, home = api.deps.store, api.deps.workspace_id

        async def used_at(ms: int) -> None:
            async def noted() -> bool:
                return {k.id: k.last_used_ms for k in await store.keys(home)}[key_id] == ms

            await eventually_async(noted)

        first = clock[0]
        await api.call("GET", "/v1/sessions", headers=headers)
        await used_at(first)
        clock[0] += 59_999
        await api.call("GET", "/v1/sessions", headers=headers)
        await api.get("/v1/sessions")
        await used_at(first)


class CountingKeys:
    """The Keys port of a real store; counts look-ups, and fails when it is told to."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.looked_up = 0
        self.broken = False

    async def key_with_id(self, key_id: str) -> Any:
        self.looked_up += 1
        if self.broken:
            raise StoreUnusable("gone")
        return await self._store.key_with_id(key_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_keys_are_remembered_for_a_moment_and_forgotten_on_revocation(api: Api) -> None:
    clock, home = [0.0], api.deps.workspace_id
    keys: Any = CountingKeys(api.deps.store)
    authenticator = Authenticator(
        keys, Background(), "another-bootstrap-key", home, api.deps.now_ms, lambda: clock[0]
    )
    text, key_id = await made_key(api, home)
    for _ in range(3):
        assert (await authenticator.check(text)).key == key_id
    assert keys.looked_up == 1
    for wrong in (text[:-1], text + "x", text.swapcase(), "", "wsk_", "x" * 100_000):
        with pytest.raises(Denied, match="unauthorized"):
            await authenticator.check(wrong)
    assert keys.looked_up == 1, "a mistyped key must be refused before any look-up"

    record = await api.deps.store.revoke_key(home, key_id, api.deps.now_ms())
    assert (await authenticator.check(text)).key == key_id, "another process: still remembered"
    clock[0] += CACHE_SECONDS
    with pytest.raises(Denied, match="key_revoked"):
        await authenticator.check(text)
    assert keys.looked_up == 2

    other, other_id = await made_key(api, home)
    await authenticator.check(other)
    revoked = await api.deps.store.revoke_key(home, other_id, api.deps.now_ms())
    authenticator.forget(revoked.key_id)
    with pytest.raises(Denied, match="key_revoked"):
        await authenticator.check(other)
    assert record.id == key_id


async def test_a_key_known_before_holds_while_the_database_is_down(api: Api) -> None:
    clock, home = [0.0], api.deps.workspace_id
    keys: Any = CountingKeys(api.deps.store)
    authenticator = Authenticator(
        keys, Background(), "another-bootstrap-key", home, api.deps.now_ms, lambda: clock[0]
    )
    known, known_id = await made_key(api, home)
    unknown, _ = await made_key(api, home)
    await authenticator.check(known)
    keys.broken = True
    clock[0] += CACHE_SECONDS * 100
    assert (await authenticator.check(known)).key == known_id
    with pytest.raises(StoreUnusable):
        await authenticator.check(unknown)


async def test_a_right_id_with_a_wrong_secret_is_refused(api: Api) -> None:
    one, other = await tenant(api, "one"), await tenant(api, "other")
    keys: Any = CountingKeys(api.deps.store)
    authenticator = Authenticator(
        keys, Background(), "another-bootstrap-key", one.id, api.deps.now_ms
    )
    # A well-formed key, stored under the id of another one: only the secret is wrong then.
    record = await api.deps.store.key_with_id(one.key.split("_")[2])
    keys._store = _Renamed(record)
    with pytest.raises(Denied, match="unauthorized") as denied:
        await authenticator.check(other.key)
    assert denied.value.whose == one.id


class _Renamed:
    def __init__(self, record: Any) -> None:
        self._record = record

    async def key_with_id(self, _: str) -> Any:
        return self._record
