"""Files handed in over HTTP: as a body, as a form, by an address; and what is refused."""

from __future__ import annotations

import asyncio
import io
import ipaddress
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from actors.net_guard import NetRules
from api.media_kinds import LARGEST
from tests.integration.media_samples import JPEG, PDF, png
from tests.integration.test_api_server import KEY, UNKNOWN_ID, Api, Reached, running_api
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.integration

LOOPBACK = NetRules(private=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def hand_in(api: Api, data: Any, query: str = "", **headers: str) -> Reached:
    return await api.call(
        "POST",
        f"/v1/media{query}",
        data=data,
        headers={"Authorization": f"Bearer {KEY}", **headers},
    )


async def content(api: Api, upload_id: str) -> bytes:
    async with api.deps.uploads.open_upload(api.deps.workspace_id, upload_id) as pieces:
        return b"".join([piece async for piece in pieces])


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "media").rglob("*") if path.is_file()]


async def test_a_file_as_the_body(api: Api, tmp_path: Path) -> None:
    data = png(padding=b"\7" * 3_000_000)  # more than a JSON body may have
    headers = {"Content-Type": "text/html"}
    answer = await hand_in(api, io.BytesIO(data), "?filename=a.png", **headers)
    assert answer.status == 201
    upload = answer.json
    assert answer.headers["Location"] == f"/v1/media/{upload['id']}"
    assert (upload["mimetype"], upload["filename"]) == ("image/png", "a.png")
    assert (upload["size"], upload["problem"]) == (len(data), None)
    assert await content(api, upload["id"]) == data
    assert (await api.get(f"/v1/media/{upload['id']}")).json == upload
    [file] = files(tmp_path)
    assert data[:64] not in file.read_bytes()


async def test_a_file_in_a_form(api: Api) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("comment", "not the file")
    form.add_field("file", PDF, filename="C:\\docs\\b.pdf", content_type="text/plain")
    answer = await hand_in(api, form)
    assert answer.status == 201
    assert (answer.json["mimetype"], answer.json["filename"]) == ("application/pdf", "b.pdf")
    assert await content(api, answer.json["id"]) == PDF


async def test_a_broken_picture_is_kept_with_what_is_wrong(api: Api) -> None:
    answer = await hand_in(api, JPEG[:-9])
    assert answer.status == 201
    assert (answer.json["mimetype"], answer.json["problem"]) == (
        "image/jpeg",
        "its end is missing",
    )


@pytest.mark.parametrize(
    ("data", "headers", "status", "code"),
    [
        (b"", {}, 400, "body_invalid"),
        (b"x", {"Content-Encoding": "gzip"}, 415, "media_type_invalid"),
        (b"--a\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 400, "body_invalid"),
        (b"x", {"Content-Type": "multipart/form-data"}, 400, "body_invalid"),
        (b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 422, "fields_invalid"),
    ],
)
async def test_what_is_no_file_is_refused_and_leaves_nothing(
    api: Api, tmp_path: Path, data: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await hand_in(api, data, **headers)
    assert (answer.status, answer.code) == (status, code)
    assert files(tmp_path) == []


async def test_too_large_is_refused_while_it_comes(api: Api, tmp_path: Path) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 3 * LARGEST:
            sent += 1 << 20
            yield b"\7" * (1 << 20)

    try:
        answer = await hand_in(api, endless())
        assert (answer.status, answer.code) == (413, "media_too_large")
    except aiohttp.ClientConnectionError:
        pass  # it was still sending when the answer came
    assert sent < 2 * LARGEST
    assert files(tmp_path) == []


async def test_a_client_that_goes_away_or_stops_leaves_nothing(tmp_path: Path) -> None:
    async with running_api(tmp_path, body_deadline=0.2) as api:
        head = (
            f"POST /v1/media HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            "Content-Length: 1000000\r\n\r\n"
        ).encode()
        _, away = await asyncio.open_connection(api.host, api.port)
        away.write(head + b"\7" * 1000)
        await away.drain()
        away.close()
        await away.wait_closed()
        reader, stuck = await asyncio.open_connection(api.host, api.port)
        stuck.write(head + b"\7" * 1000)
        await stuck.drain()
        answer = await asyncio.wait_for(reader.read(), 10)
        assert b" 408 " in answer.split(b"\r\n", 1)[0]
        stuck.close()
        await stuck.wait_closed()

        async def nothing() -> bool:
            return not files(tmp_path)

        await eventually_async(nothing)
        assert (await hand_in(api, PDF)).status == 201  # no slot was lost


async def test_more_at_once_than_there_are_slots_are_told_to_wait(api: Api, tmp_path: Path) -> None:
    go = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"%PDF-"
        await go.wait()
        yield b"rest"

    tasks = [asyncio.create_task(hand_in(api, slow())) for _ in range(4)]

    async def full() -> bool:
        return len(files(tmp_path)) == len(tasks)

    await eventually_async(full)
    answer = await hand_in(api, PDF)
    assert (answer.status, answer.code) == (503, "media_busy")
    assert answer.headers["Retry-After"] == "5"
    go.set()
    assert {a.status for a in await asyncio.gather(*tasks)} == {201}


async def test_unknown_and_foreign_uploads_are_not_found(api: Api) -> None:
    for upload_id in (UNKNOWN_ID, "x"):
        answer = await api.get(f"/v1/media/{upload_id}")
        assert (answer.status, answer.code) == (404, "media_not_found")


# ---- by an address -------------------------------------------------------------------------------


@asynccontextmanager
async def origin() -> AsyncIterator[tuple[str, list[str]]]:
    """A web server of somebody's on loopback, and what was asked of it."""
    asked: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        match request.path:
            case "/a.png":
                return web.Response(body=png(), content_type="text/html")
            case "/moved":
                raise web.HTTPFound("/a.png")
            case "/gzip":
                return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})
            case "/large":
                return web.Response(headers={"Content-Length": str(LARGEST + 1)})
            case "/cut":
                response = web.StreamResponse(headers={"Content-Length": "1000"})
                await response.prepare(request)
                await response.write(b"x")
                assert request.transport is not None
                request.transport.abort()
                return response
            case _:
                raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_file_by_its_address(tmp_path: Path) -> None:
    async with running_api(tmp_path, net_rules=LOOPBACK) as api, origin() as (url, _):
        body = {"url": f"{url}/a.png", "filename": "b.png"}
        answer = await api.post("/v1/media", body)
        assert answer.status == 201
        assert (answer.json["mimetype"], answer.json["filename"]) == ("image/png", "b.png")
        assert await content(api, answer.json["id"]) == png()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/moved", 422, "media_unreachable"),
        ("/gzip", 422, "media_unreachable"),
        ("/missing", 422, "media_unreachable"),
        ("/cut", 422, "media_unreachable"),
        ("/large", 413, "media_too_large"),
    ],
)
async def test_an_address_without_a_file_is_refused(
    tmp_path: Path, path: str, status: int, code: str
) -> None:
    async with running_api(tmp_path, net_rules=LOOPBACK) as api, origin() as (url, asked):
        answer = await api.post("/v1/media", {"url": url + path})
        assert (answer.status, answer.code) == (status, code)
        assert asked == [path]
        assert files(tmp_path) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
async def test_nothing_of_this_machine_is_fetched(tmp_path: Path, host: str) -> None:
    """With http permitted, so that only the guard stands in the way."""
    async with running_api(tmp_path, net_rules=NetRules(plain_http=True)) as api, origin() as made:
        url, asked = made
        port = url.rpartition(":")[2]
        answer = await api.post("/v1/media", {"url": f"http://{host}:{port}/a.png"})
        assert answer.status == 422
        assert answer.code in {"fields_invalid", "media_unreachable"}
        assert asked == []
        assert files(tmp_path) == []
