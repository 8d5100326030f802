"""Which scope each route needs, and which calls are noted in the access log (pure).

`build_app` refuses to start with a route that has no rule here, so a new route is closed until
somebody decided who may call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from api.keys import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ONE: Final = "/v1/sessions/{session}"
_MESSAGES: Final = f"{_ONE}/messages"
_KEY: Final = "/v1/keys/{key}"
_WEBHOOK: Final = "/v1/webhooks/{webhook}"
_HEAD: Final = "HEAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One route's rule.

    `open` needs no key at all; `scope` None needs a key, whatever it allows. `action` is the word
    in the access log, None for calls that are not noted. `waits`: the answer waits a moment for its
    entry, unless something else already proves the call. `whole` routes are about more than single
    sessions: keys for certain sessions can't call them. `operator` routes are about the whole node:
    only keys of the operator's own workspace can call them.
    """

    scope: Scope | None = None
    action: str | None = None
    open: bool = False
    waits: bool = True
    whole: bool = False
    operator: bool = False


def _verb(verb: str) -> tuple[tuple[str, str], Rule]:
    return ("POST", f"{_ONE}/{verb}"), Rule(scope=Scope.SESSION_WRITE, action=f"session.{verb}")


def _webhook(action: str | None = None) -> Rule:
    return Rule(
        scope=Scope.WEBHOOK_WRITE,
        action=None if action is None else f"webhook.{action}",
        whole=True,
    )


_READ: Final = Rule(scope=Scope.SESSION_READ)
_MESSAGE_READ: Final = Rule(scope=Scope.MESSAGE_READ)
_QR: Final = Rule(scope=Scope.SESSION_WRITE, action="qr.view")
_RESOLVE: Final = Rule(scope=Scope.MESSAGE_SEND, action="message.resolve")
_VERBS: Final = (
    "qr",
    "reconnect",
    "start",
    "stop",
    "restart",
    "logout",
    "primary",
    "activate",
    "deactivate",
    "archive",
)

RULES: Final[Mapping[tuple[str, str], Rule]] = MappingProxyType(
    {
        ("GET", "/healthz"): Rule(open=True),
        ("GET", "/readyz"): Rule(open=True),
        ("GET", "/metrics"): Rule(scope=Scope.SESSION_READ, whole=True, operator=True),
        ("GET", "/pressure"): Rule(scope=Scope.SESSION_READ, whole=True, operator=True),
        ("GET", "/v1/openapi.json"): Rule(),
        ("POST", "/v1/sessions"): Rule(
            scope=Scope.SESSION_WRITE, action="session.create", whole=True
        ),
        ("GET", "/v1/sessions"): _READ,
        ("GET", _ONE): _READ,
        ("DELETE", _ONE): Rule(scope=Scope.SESSION_WRITE, action="session.delete"),
        **dict(map(_verb, _VERBS)),
        ("GET", f"{_ONE}/qr"): _QR,
        ("GET", f"{_ONE}/qr.png"): _QR,
        ("GET", f"{_ONE}/qr.svg"): _QR,
        ("GET", f"{_ONE}/qr.txt"): _QR,
        # The message's own row proves that it was accepted.
        ("POST", _MESSAGES): Rule(scope=Scope.MESSAGE_SEND, action="message.send", waits=False),
        ("POST", f"{_MESSAGES}/batch"): Rule(
            scope=Scope.MESSAGE_SEND, action="message.send_batch", waits=False
        ),
        ("POST", f"{_MESSAGES}/resolve"): _RESOLVE,
        ("POST", f"{_MESSAGES}/{{message}}/resolve"): _RESOLVE,
        ("POST", f"{_MESSAGES}/{{message}}/cancel"): Rule(
            scope=Scope.MESSAGE_SEND, action="message.cancel"
        ),
        ("GET", _MESSAGES): Rule(scope=Scope.MESSAGE_READ),
        ("GET", f"{_MESSAGES}/{{message}}"): Rule(scope=Scope.MESSAGE_READ),
        ("GET", f"{_ONE}/queue"): Rule(scope=Scope.MESSAGE_READ),
        ("POST", "/v1/media"): Rule(scope=Scope.MESSAGE_SEND, action="media.upload"),
        ("GET", "/v1/media/{media}"): Rule(scope=Scope.MESSAGE_SEND),
        **{
            ("GET", f"{_MESSAGES}/{{message}}/{part}"): _MESSAGE_READ
            for part in ("media", "reactions", "votes")
        },
        # Who may write to a number may ask whether it is there.
        ("GET", f"{_ONE}/contacts/check"): Rule(scope=Scope.MESSAGE_SEND),
        ("GET", f"{_ONE}/contacts"): _MESSAGE_READ,
        ("GET", f"{_ONE}/chats"): _MESSAGE_READ,
        ("GET", f"{_ONE}/chats/{{jid}}/messages"): _MESSAGE_READ,
        ("POST", f"{_ONE}/chats/{{jid}}/read"): Rule(scope=Scope.MESSAGE_SEND, action="chat.read"),
        ("POST", f"{_ONE}/chats/{{jid}}/typing"): Rule(
            scope=Scope.MESSAGE_SEND, action="chat.typing", waits=False
        ),
        ("GET", f"{_ONE}/groups"): _MESSAGE_READ,
        ("GET", f"{_ONE}/groups/{{jid}}"): _MESSAGE_READ,
        ("GET", "/v1/numbers"): _READ,
        ("GET", "/v1/events"): _READ,
        ("GET", "/v1/events/ws"): _READ,
        ("POST", "/v1/broadcasting/auth"): Rule(
            scope=Scope.SESSION_READ, action="broadcast.subscribe"
        ),
        ("GET", "/v1/audit"): Rule(scope=Scope.AUDIT_READ, whole=True),
        ("GET", "/v1/keys"): Rule(scope=Scope.KEY_ADMIN, whole=True),
        ("POST", "/v1/keys"): Rule(scope=Scope.KEY_ADMIN, action="key.create", whole=True),
        ("GET", "/v1/webhooks"): _webhook(),
        ("POST", "/v1/webhooks"): _webhook("create"),
        ("GET", _WEBHOOK): _webhook(),
        ("PATCH", _WEBHOOK): _webhook("change"),
        ("DELETE", _WEBHOOK): _webhook("delete"),
        ("POST", f"{_WEBHOOK}/rotate"): _webhook("rotate"),
        ("POST", f"{_WEBHOOK}/replay"): _webhook("replay"),
        ("GET", f"{_WEBHOOK}/attempts"): _webhook(),
        ("GET", f"{_WEBHOOK}/dead-letters"): _webhook(),
        ("DELETE", _KEY): Rule(scope=Scope.KEY_ADMIN, action="key.revoke", whole=True),
    }
)

CLOSED: Final = Rule()
"""For requests that match no route: a key is needed to learn even that."""


def rule_of(method: str, path: str) -> Rule | None:
    """Return the rule of a route as written, like /v1/sessions/{session}; HEAD goes with GET."""
    return RULES.get(("GET" if method == _HEAD else method, path))


def without_rule(routes: Iterable[tuple[str, str]]) -> list[str]:
    """Name the routes that have no rule, and those that change something but are not noted."""
    missing = []
    for method, path in routes:
        rule = rule_of(method, path)
        if rule is None or (method not in {"GET", _HEAD} and rule.action is None):
            missing.append(f"{method} {path}")
    return missing
