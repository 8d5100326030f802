"""One request to a webhook's endpoint: signed, bounded in time and size, never redirected."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiohttp
from standardwebhooks import Webhook

from actors.net_guard import guarded_connector, refused
from actors.webhook_plan import Answer, Verdict, retry_after, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.net_guard import NetRules

MOST_ANSWER_BYTES: Final = 64 * 1024
"""What is read of an answer, so that its connection can be used again; the rest is cut off."""
ANSWER_PATIENCE: Final = 1.0
"""Seconds for an answer's body, which says nothing to us: the status has come already."""


class WebhookSender:
    """Made and used on one loop; close it at the end. `timeout` is in seconds, for all of it."""

    def __init__(
        self, *, rules: NetRules, timeout: float, agent: str, now_ms: Callable[[], int]
    ) -> None:
        self._now_ms = now_ms
        # No limit for all together: one endpoint that hangs must not take another's connection.
        # Each has few at once of its own (actors.webhook_worker).
        self._client = aiohttp.ClientSession(
            connector=guarded_connector(rules, limit=0),
            timeout=aiohttp.ClientTimeout(total=timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": agent},
            auto_decompress=False,
            trust_env=False,
        )

    async def send(self, url: str, secrets: Sequence[str], event_id: str, body: str) -> Answer:
        """Post a body; `secrets` (`whsec_…`) all sign it. The network's troubles are verdicts."""
        at_ms, began = self._now_ms(), time.monotonic()
        status, asked = None, None
        try:
            async with self._client.post(
                url,
                data=body.encode(),
                headers=signed_headers(secrets, event_id, at_ms, body),
                allow_redirects=False,
            ) as response:
                status = response.status
                asked = retry_after(response.headers.get("Retry-After"), at_ms)
                verdict = verdict_of(status)
                took = time.monotonic() - began
                await _read_away(response)
        except TimeoutError:
            verdict, took = Verdict.TIMED_OUT, time.monotonic() - began
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: what aiohttp calls an address that it can't parse after all
            verdict = Verdict.ADDRESS_REFUSED if refused(error) else Verdict.NOT_CONNECTED
            took = time.monotonic() - began
        return Answer(
            verdict=verdict,
            status=status,
            retry_after=asked,
            at_ms=at_ms,
            took_ms=round(took * 1000),
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()


def signed_headers(secrets: Sequence[str], event_id: str, at_ms: int, body: str) -> dict[str, str]:
    """Return the headers of Standard Webhooks 1.0.0 for exactly this body at this time."""
    # The library takes the time's fields as UTC whatever its zone is, so it has to be UTC.
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    signatures = [Webhook(secret).sign(event_id, moment, body) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(at_ms // 1000),
        "webhook-signature": " ".join(signatures),
    }


async def _read_away(response: aiohttp.ClientResponse) -> None:
    left = MOST_ANSWER_BYTES
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(ANSWER_PATIENCE):
            async for piece in response.content.iter_any():
                left -= len(piece)
                if left < 0:
                    break
            else:
                return
    response.close()
