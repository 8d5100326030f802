"""Messages that the root only hands on: it alone knows where a session or a service lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from actors.base import tell
from actors.messages import (
    NOT_CONNECTED,
    ArchiveSession,
    RefreshQr,
    Refused,
    ToService,
    ToSession,
)
from actors.page_messages import ReadPage
from supervisor.services import service_down

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.messages import Answer
    from supervisor.child import Child
    from supervisor.services import Services


class Relay:
    """Owned by the root supervisor and used only from its thread; it sees the root's children."""

    def __init__(self, children: Mapping[str, Child], services: Services) -> None:
        self._children = children
        self._services = services

    def pass_on(
        self,
        message: ArchiveSession | RefreshQr | ReadPage | ToSession | ToService,
    ) -> None:
        """Hand it on; who asks for something that is not there is told so."""
        match message:
            case ArchiveSession() | RefreshQr() | ReadPage():
                if not self._to_session(message.session_id, message):
                    _answer_absent(message)
            case ToSession(session_id=session_id, incarnation=incarnation, message=passed):
                child = self._children.get(session_id)
                if child is not None and child.incarnation == incarnation:
                    self._to_session(session_id, passed)
            case ToService(service=service, message=passed):
                if not self._services.tell(service, passed):
                    answer(getattr(passed, "reply", None), service_down(service))
            case _:
                assert_never(message)

    def _to_session(self, session_id: str, message: object) -> bool:
        child = self._children.get(session_id)
        return child is not None and child.ref is not None and tell(child.ref, message)


def _answer_absent(message: ArchiveSession | RefreshQr | ReadPage) -> None:
    """The session does not run."""
    match message:
        case ArchiveSession(reply=reply):
            gone = "The session is not running; start it, then archive it."
            answer(reply, Refused(code="not_connected", message=gone))
        case RefreshQr(reply=reply):
            gone = "The session is not running; start it first."
            answer(reply, Refused(code="not_at_qr", message=gone))
        case ReadPage(reply=reply):
            answer(reply, NOT_CONNECTED)


def answer(reply: Any, value: Answer) -> None:
    """Answer who wants an answer."""
    if reply is not None:
        reply.put(value)
