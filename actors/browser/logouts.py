"""When a login has ended: said once, though the page says so twice. Pure."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from actors.browser.driver import LoggedOut


class LogoutWatch:
    """Listens to the adapter's report and to the navigation that WhatsApp ends a login with.

    Either may come alone: the page may leave before the adapter has spoken.
    """

    def __init__(self) -> None:
        self._told = False
        self._after_logout = False

    def reported(self, fact: LoggedOut) -> LoggedOut | None:
        """The adapter said so; return the fact unless this document's logout is known."""
        if self._told:
            return None
        self._told = True
        return fact

    def navigated(self, url: str) -> LoggedOut | None:
        """A new document came; return the fact if its address is the first to tell.

        A reload of that address (WhatsApp stays on it until the next login) tells nothing new.
        """
        told, was_after = self._told, self._after_logout
        query = parse_qs(urlsplit(url).query)
        self._told = False
        self._after_logout = "1" in query.get("post_logout", [])
        if not self._after_logout or told or was_after:
            return None
        return LoggedOut(reason=query.get("logout_reason", [None])[0])
