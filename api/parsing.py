"""Read requests strictly and write JSON answers.

Nothing that a client sends is repeated in an error but the names of fields.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from api.errors import FieldError, body_invalid, body_timeout, fields_invalid, media_type_invalid
from api.schemas import NoBody
from api.schemas_messages import TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Model = TypeVar("Model", bound=BaseModel)

_MAX_FIELD_CHARS: Final = 100
_MAX_ERRORS: Final = 20


async def read_body(request: web.Request, model: type[Model], deadline: float) -> Model:
    """Return the request's JSON object as `model`; `deadline` is in seconds.

    Raises ApiError body_timeout, body_invalid, media_type_invalid, fields_invalid, and aiohttp's
    HTTPRequestEntityTooLarge.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise media_type_invalid()
    raw = await _read(request, deadline)
    if not raw and model is NoBody:
        return model()
    if request.content_type != "application/json" or not _is_utf8(request.charset):
        raise media_type_invalid()
    return validate(model, parse_object(raw))


async def read_form(request: web.Request, model: type[Model], deadline: float) -> Model:
    """Return a form, as Pusher's clients send it, or a JSON object as `model`.

    Raises what `read_body` raises.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        return await read_body(request, model, deadline)
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise media_type_invalid()
    raw = await _read(request, deadline)
    try:
        pairs = parse_qsl(
            raw.decode("utf-8"), strict_parsing=True, keep_blank_values=True, errors="strict"
        )
        values = _unique(pairs)
    except (ValueError, _DuplicateKeyError):
        raise body_invalid("The body is not a form with each field once; send one.") from None
    return validate(model, values)


def read_query(request: web.Request, model: type[Model]) -> Model:
    """Return the query parameters as `model`. Raises ApiError fields_invalid."""
    query = request.query
    repeated = sorted({name for name in query if len(query.getall(name)) > 1})
    if repeated:
        raise fields_invalid(
            tuple(FieldError(_shown(n), "give it only once") for n in repeated[:_MAX_ERRORS])
        )
    return validate(model, dict(query))


def json_response(
    answer: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer as a JSON response."""
    return web.Response(
        status=status,
        body=answer.model_dump_json(by_alias=True).encode(),
        content_type="application/json",
        headers=headers,
    )


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in `raw`: UTF-8, no key twice, no NaN, no lone surrogates.

    Raises ApiError body_invalid.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
        # Lone surrogates are legal in JSON escapes, but no text: nothing could store or send them.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except _DuplicateKeyError:
        raise body_invalid("The JSON object has a key twice; send each key once.") from None
    except (ValueError, RecursionError):
        # ValueError covers broken JSON, broken UTF-8 and numbers too long for Python.
        raise body_invalid("The body is not JSON in UTF-8; send a JSON object.") from None
    if not isinstance(value, dict):
        raise body_invalid("The body is JSON, but not an object; send a JSON object.")
    return value


async def _read(request: web.Request, deadline: float) -> bytes:
    try:
        async with asyncio.timeout(deadline):
            return await request.read()
    except TimeoutError:
        raise body_timeout() from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise body_invalid("The body is cut off or wrongly encoded; send it again.") from None


def _is_utf8(charset: str | None) -> bool:
    return charset is None or charset.lower() in {"utf-8", "utf8"}


class _DuplicateKeyError(Exception):
    """An object has a key twice."""


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKeyError
    return value


def _refuse_constant(_: str) -> None:
    raise ValueError("not JSON")


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Return values, as JSON or a query has them, as `model`. Raises ApiError fields_invalid."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise fields_invalid(_field_errors(error)) from None


def _field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return tuple(
        FieldError(_shown(_path(e["type"], e["loc"])), _message(e["type"], e["msg"]))
        for e in found[:_MAX_ERRORS]
    )


def _path(kind: str, loc: tuple[int | str, ...]) -> str:
    """Return the dotted path of a field, without the branches of a union on the way to it."""
    steps = [str(step) for step in loc if not str(step).startswith(TAG)]
    return ".".join([*steps, "kind"] if kind.startswith(TAG) else steps)


def _message(kind: str, text: str) -> str:
    if kind == "extra_forbidden":
        return "is not known here; leave it out"
    return text.removeprefix("Value error, ")


def _shown(name: str) -> str:
    return name if len(name) <= _MAX_FIELD_CHARS else name[:_MAX_FIELD_CHARS] + "…"
