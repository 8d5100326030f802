"""What the API asks of a session's page, by way of the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.browser.reading import PageQuery
    from actors.messages import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPage:
    """The API, through the supervisor: answer this from what WhatsApp Web knows.

    Answered with PageRead, or with Refused: not_connected, or what the page said.
    """

    session_id: str
    query: PageQuery
    reply: Reply | None = None
