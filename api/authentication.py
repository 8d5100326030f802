"""Who calls? Turn a bearer key into a Caller, and keep out whom a route's rule does not admit.

A stored key is remembered for CACHE_SECONDS. Revoking one through this program forgets it at once;
one revoked by the command line of another process is refused after at most that time.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import hdrs, web

from api.caller import CALLER, TRAIL, Trail
from api.key_errors import (
    key_expired,
    key_limited,
    key_revoked,
    operator_only,
    scope_missing,
    unauthorized,
)
from api.keys import EVERY_SCOPE, caller_of, digest, parse_key
from api.rules import CLOSED, rule_of
from api.templates import route_template
from storage.keys import TOUCH_INTERVAL_MS, ApiKeyRecord, KeyNotFound, NewKey
from storage.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

    from api.background import Background
    from api.errors import ApiError
    from api.keys import Caller
    from api.recorder import AccessRecorder
    from api.rules import Rule
    from storage.keys import Keys

CACHE_SECONDS: Final = 5.0
_MOST_CACHED: Final = 1_000
BOOTSTRAP_NAME: Final = "bootstrap"
_BOOTSTRAP_PREFIX: Final = "boot_"
_BOOTSTRAP_ID_CHARS: Final = 16

log = structlog.get_logger(__name__)


class Denied(Exception):  # noqa: N818 - reads as what happened
    """A key was refused: with which answer, and whose key it is as far as that is known.

    `caller` is set only if the key itself was right (revoked, expired).
    """

    def __init__(
        self, error: ApiError, *, whose: str | None = None, caller: Caller | None = None
    ) -> None:
        super().__init__(error.problem.code)
        self.error = error
        self.whose = whose
        self.caller = caller


@dataclass(slots=True)
class _Cached:
    record: ApiKeyRecord
    since: float
    touched: bool = False


class Authenticator:
    """Knows keys: the stored ones by their ids, and the bootstrap key, which may have any form.

    The bootstrap key is the first administrator's: it has every scope in `workspace_id`, and is
    stored like any other key, so that it can be listed, named in the access log, and revoked.
    """

    def __init__(
        self,
        keys: Keys,
        background: Background,
        bootstrap_key: str,
        workspace_id: str,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._background = background
        self._workspace_id = workspace_id
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._bootstrap_hash = digest(bootstrap_key)
        # A made key's id has no underscore: none is ever taken for the bootstrap key's.
        self._bootstrap_id = _BOOTSTRAP_PREFIX + self._bootstrap_hash[:_BOOTSTRAP_ID_CHARS]
        self._cache: dict[str, _Cached] = {}
        self._revocations = 0

    async def register_bootstrap(self) -> None:
        """Store the bootstrap key if it is not there yet. Raises StoreErrors."""
        try:
            record = (await self._stored(self._bootstrap_id)).record
        except KeyNotFound:
            new = NewKey(
                key_id=self._bootstrap_id,
                name=BOOTSTRAP_NAME,
                hash=self._bootstrap_hash,
                scopes=frozenset(EVERY_SCOPE),
            )
            await self._keys.create_key(self._workspace_id, new, self._now_ms())
            await self._stored(self._bootstrap_id)
            log.info("bootstrap_key_registered")
            return
        if not record.usable(self._now_ms()):
            log.warning("bootstrap_key_unusable", code="key_revoked")

    async def check(self, text: str | None) -> Caller:
        """Return whom the key belongs to; None is no key. Raises Denied, and StoreErrors."""
        if text is None:
            raise Denied(unauthorized())
        if hmac.compare_digest(digest(text), self._bootstrap_hash):
            cached = await self._stored(self._bootstrap_id)
            caller = replace(caller_of(cached.record), scopes=EVERY_SCOPE)
        else:
            parts = parse_key(text)
            if parts is None:
                raise Denied(unauthorized())
            try:
                cached = await self._stored(parts.key_id)
            except KeyNotFound:
                raise Denied(unauthorized()) from None
            if not hmac.compare_digest(cached.record.hash, parts.hash):
                raise Denied(unauthorized(), whose=cached.record.workspace_id)
            caller = caller_of(cached.record)
        self._require_usable(cached.record, caller)
        self._touch(cached)
        return caller

    def forget(self, key_id: str) -> None:
        """Read this key anew at its next use; call it after every change of a stored key."""
        self._revocations += 1
        self._cache.pop(key_id, None)

    def _require_usable(self, record: ApiKeyRecord, caller: Caller) -> None:
        if record.usable(self._now_ms()):
            return
        error = key_expired() if record.revoked_ms is None else key_revoked()
        raise Denied(error, whose=record.workspace_id, caller=caller)

    async def _stored(self, key_id: str) -> _Cached:
        cached = self._cache.get(key_id)
        now = self._monotonic()
        if cached is not None and now - cached.since < CACHE_SECONDS:
            return cached
        revocations = self._revocations
        try:
            cached = _Cached(await self._keys.key_with_id(key_id), now)
        except KeyNotFound:
            raise
        except StoreError:
            # While the database is down, what was last known of a key holds: /metrics must still
            # tell that it is down. Whatever needs the database fails by itself.
            if cached is not None:
                return cached
            raise
        # What was read before a revocation must not outlive it.
        if revocations == self._revocations:
            self._cache.pop(key_id, None)
            while len(self._cache) >= _MOST_CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[key_id] = cached
        return cached

    def _touch(self, cached: _Cached) -> None:
        now, last, key_id = self._now_ms(), cached.record.last_used_ms, cached.record.key_id
        if cached.touched or (last is not None and now - last < TOUCH_INTERVAL_MS):
            return
        cached.touched = True
        self._background.give("key_use", lambda: self._keys.touch_key(key_id, now))


def authenticate(
    authenticator: Authenticator, recorder: AccessRecorder, operator: str
) -> Middleware:
    """Let requests pass whose key the route's rule admits; `operator` is the node's workspace."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        rule = rule_of(request.method, route_template(request)) or CLOSED
        if rule.open:
            return await handler(request)
        try:
            caller = await authenticator.check(bearer(request))
        except Denied as denied:
            code = denied.error.problem.code
            recorder.refused(request, code, caller=denied.caller, whose=denied.whose)
            raise denied.error from None
        error = _forbidden(rule, caller, operator)
        if error is not None:
            whose = caller.workspace_id
            recorder.refused(request, error.problem.code, caller=caller, whose=whose)
            raise error
        request[CALLER] = caller
        request[TRAIL] = Trail()
        return await handler(request)

    return middleware


def bearer(request: web.Request) -> str | None:
    """Return the key of `Authorization: Bearer KEY`, the only place where one is read."""
    values = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(values) != 1:
        return None
    scheme, _, credentials = values[0].partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _forbidden(rule: Rule, caller: Caller, operator: str) -> ApiError | None:
    if rule.operator and caller.workspace_id != operator:
        return operator_only()
    if rule.scope is not None and rule.scope not in caller.scopes:
        return scope_missing(rule.scope)
    if rule.whole and caller.sessions is not None:
        return key_limited()
    return None
