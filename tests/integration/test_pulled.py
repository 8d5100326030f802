"""Bytes pulled by a thread from the loop: in order, with their errors, and never for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.pulled import PulledBytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.integration


async def test_pieces_come_in_order_and_are_seen_on_the_way() -> None:
    async def source() -> AsyncIterator[bytes]:
        for number in range(100):
            await asyncio.sleep(0)
            yield b"%d," % number

    seen: list[bytes] = []
    pulled = PulledBytes(source(), seen.append)
    expected = [b"%d," % number for number in range(100)]
    assert await asyncio.to_thread(list, pulled) == expected
    assert seen == expected


async def test_errors_of_the_source_and_of_the_look_come_out_in_the_thread() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError

    def refuse(_: bytes) -> None:
        raise LookupError

    with pytest.raises(KeyError):
        await asyncio.to_thread(list, PulledBytes(source(), lambda _: None))
    with pytest.raises(LookupError):
        await asyncio.to_thread(list, PulledBytes(source(), refuse))


async def test_a_thread_that_waits_for_silence_is_let_go() -> None:
    asked = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"x"
        asked.set()
        await asyncio.Event().wait()

    pulled = PulledBytes(source(), lambda _: None)
    reading = asyncio.create_task(asyncio.to_thread(list, pulled))
    async with asyncio.timeout(10):
        await asked.wait()
        pulled.close()
        with pytest.raises(ConnectionAbortedError):
            await reading


async def test_a_thread_that_asks_after_the_end_is_told() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"x"

    pulled = PulledBytes(source(), lambda _: None)
    pulled.close()
    with pytest.raises(ConnectionAbortedError):
        await asyncio.to_thread(list, pulled)
