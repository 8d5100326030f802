"""GET /v1/openapi.json: the routes and their shapes as OpenAPI 3.1, made from the schemas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic.json_schema import models_json_schema

from api.errors import PROBLEM_TYPE
from api.event_schemas import EVENTS
from api.openapi_outbox import OUTBOX_OPERATIONS, header_parameters
from api.openapi_reading import READING_OPERATIONS
from api.openapi_webhooks import WEBHOOK_OPERATIONS
from api.operation import Operation
from api.parsing import read_query
from api.pressure import PressureOut
from api.rules import CLOSED, rule_of
from api.schemas import (
    AcceptedOut,
    ArchiveOut,
    AuditOut,
    AuditQuery,
    ChannelAdmitted,
    ChannelWanted,
    EventsOut,
    EventsQuery,
    MessageOut,
    MessagesOut,
    MessagesQuery,
    NewSession,
    NoBody,
    NoQuery,
    NumbersOut,
    ProblemOut,
    QrOut,
    SessionOut,
    SessionsOut,
    SessionsQuery,
    StreamQuery,
)
from api.schemas_keys import ApiKeysOut, KeysQuery, MadeApiKeyOut, NewApiKey
from api.schemas_media import NewUploadByUrl, UploadOut, UploadQuery
from api.schemas_messages import NewMessageOfAnyKind
from api.schemas_queue import QueueOut, QueueQuery
from api.stream_outlets import EVENT_STREAM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

_SCHEMA_PATH: Final = "#/components/schemas/{model}"
_PARAMETERS: Final = {
    "session": "The session's id or name.",
    "message": "The message's id.",
    "media": "The upload's id.",
    "jid": "The chat's or group's jid, or a phone number.",
    "key": "The key's id.",
    "webhook": "The webhook's id.",
}


_ONE: Final = "/v1/sessions/{session}"
_MESSAGES: Final = f"{_ONE}/messages"


def _verb(verb: str, summary: str) -> Operation:
    return Operation(
        method="post", path=f"{_ONE}/{verb}", summary=summary, body=NoBody, answer=SessionOut
    )


OPERATIONS: Final = (
    Operation(
        method="post",
        path="/v1/sessions",
        summary="Make a session, or return the one that has this name (200); start it if asked.",
        status=201,
        body=NewSession,
        answer=SessionOut,
    ),
    Operation(
        method="get",
        path="/v1/sessions",
        summary="List sessions in order of id.",
        query=SessionsQuery,
        answer=SessionsOut,
    ),
    Operation(method="get", path=_ONE, summary="Read a session.", answer=SessionOut),
    Operation(
        method="delete",
        path=_ONE,
        summary="Unlink the device, close the browser and forget the session.",
        status=204,
        body=NoBody,
    ),
    _verb("start", "Let the session run; nothing changes if it runs already."),
    _verb("stop", "Close the browser, keep the login."),
    _verb("restart", "Close the browser and let the session run again."),
    _verb("logout", "Unlink the device and close the browser."),
    _verb("qr", "Show another QR code, in the open window or in a new one; 429 after too many."),
    _verb("reconnect", "Bring the session back with its login; 409 where it has none."),
    _verb("primary", "Make it the workspace's only primary number."),
    _verb("deactivate", "Close the browser, and let it neither run nor send nor be primary."),
    _verb("activate", "Undo deactivate; it stays stopped until it is started."),
    Operation(
        method="post",
        path=f"{_ONE}/archive",
        summary="Archive the login of a connected session now.",
        body=NoBody,
        answer=ArchiveOut,
    ),
    Operation(
        method="post",
        path=_MESSAGES,
        summary="Accept a message of any kind; it waits until the session is connected.",
        status=202,
        body=NewMessageOfAnyKind,
        answer=AcceptedOut,
    ),
    Operation(
        method="get",
        path=_MESSAGES,
        summary="List messages, newest first.",
        query=MessagesQuery,
        answer=MessagesOut,
    ),
    Operation(
        method="get", path=f"{_MESSAGES}/{{message}}", summary="Read a message.", answer=MessageOut
    ),
    Operation(
        method="get",
        path=f"{_ONE}/queue",
        summary="What waits to be sent, in order, with the earliest time of each.",
        query=QueueQuery,
        answer=QueueOut,
    ),
    *READING_OPERATIONS,
    *OUTBOX_OPERATIONS,
    Operation(method="get", path=f"{_ONE}/qr", summary="The QR code on show.", answer=QrOut),
    Operation(
        method="get",
        path=f"{_ONE}/qr.png",
        summary="The QR code on show as an image.",
        media_type="image/png",
    ),
    Operation(
        method="get",
        path=f"{_ONE}/qr.svg",
        summary="The QR code on show as an image.",
        media_type="image/svg+xml",
    ),
    Operation(
        method="get",
        path=f"{_ONE}/qr.txt",
        summary="The bare text of the QR code on show.",
        media_type="text/plain",
    ),
    Operation(
        method="post",
        path="/v1/media",
        summary="Hand in a file to be sent: as the body, as `file` of a form, or by its address.",
        status=201,
        body=NewUploadByUrl,
        query=UploadQuery,
        answer=UploadOut,
    ),
    Operation(method="get", path="/v1/media/{media}", summary="Read an upload.", answer=UploadOut),
    Operation(
        method="get",
        path="/v1/numbers",
        summary="The workspace's numbers with their states as they are now.",
        query=SessionsQuery,
        answer=NumbersOut,
    ),
    Operation(
        method="get",
        path="/v1/events",
        summary=(
            "What happened, oldest first; a stream without end with Accept: text/event-stream,"
            " which begins after the header Last-Event-ID, after `after`, or now."
        ),
        query=EventsQuery,
        answer=EventsOut,
        media_type=EVENT_STREAM,
    ),
    Operation(
        method="get",
        path="/v1/events/ws",
        summary="What happens, as a WebSocket; `after` resumes, without it it begins now.",
        status=101,
        query=StreamQuery,
    ),
    Operation(
        method="post",
        path="/v1/broadcasting/auth",
        summary="Let a browser's Pusher client listen to a private channel; also takes a form.",
        body=ChannelWanted,
        answer=ChannelAdmitted,
    ),
    Operation(
        method="get",
        path="/v1/audit",
        summary="Who did what, newest first.",
        query=AuditQuery,
        answer=AuditOut,
    ),
    Operation(
        method="get",
        path="/v1/keys",
        summary="List the workspace's API keys, revoked and expired ones too.",
        query=KeysQuery,
        answer=ApiKeysOut,
    ),
    Operation(
        method="post",
        path="/v1/keys",
        summary="Make an API key; its text is shown this once.",
        status=201,
        body=NewApiKey,
        answer=MadeApiKeyOut,
    ),
    Operation(
        method="delete",
        path="/v1/keys/{key}",
        summary="Revoke an API key for ever.",
        status=204,
        body=NoBody,
    ),
    *WEBHOOK_OPERATIONS,
    Operation(
        method="get",
        path="/healthz",
        summary="Whether the process works; restart it if not.",
        media_type="application/json",
    ),
    Operation(
        method="get",
        path="/readyz",
        summary="Whether requests can be served; says nothing about WhatsApp.",
        media_type="application/json",
    ),
    Operation(
        method="get", path="/metrics", summary="Prometheus metrics.", media_type="text/plain"
    ),
    Operation(
        method="get",
        path="/pressure",
        summary="How full the node is, and what keeps launches waiting; for the operator.",
        answer=PressureOut,
    ),
    Operation(
        method="get",
        path="/v1/openapi.json",
        summary="This document.",
        media_type="application/json",
    ),
)


def openapi_document(version: str) -> dict[str, Any]:
    """Return the OpenAPI document of this version of wafleet."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemOut, "serialization")]
    for operation in OPERATIONS:
        if operation.body is not None:
            wanted.append((operation.body, "validation"))
        if operation.answer is not None:
            wanted.append((operation.answer, "serialization"))
    for versions in EVENTS.values():
        wanted += [(schema.payload, "serialization") for schema in versions.values()]
    refs, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=_SCHEMA_PATH)
    schemas = {model: ref for (model, _), ref in refs.items()}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "wafleet", "version": version},
        "security": [{"key": []}],
        "paths": paths,
        "x-wafleet-events": {
            kind.value: {str(n): schemas[each.payload] for n, each in versions.items()}
            for kind, versions in EVENTS.items()
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": definitions["$defs"],
        },
    }


def _operation(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.summary}
    content: dict[str, Any] = {}
    if operation.answer is not None:
        content["application/json"] = {"schema": schemas[operation.answer]}
    if operation.media_type is not None:
        content[operation.media_type] = {}
    if content:
        success["content"] = content
    problem = {PROBLEM_TYPE: {"schema": schemas[ProblemOut]}}
    document: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [
            *_path_parameters(operation.path),
            *_query_parameters(operation.query),
            *header_parameters(operation),
        ],
        "responses": {
            str(operation.status): success,
            "default": {"description": "A problem; see its code.", "content": problem},
        },
    }
    if operation.body is not None:
        document["requestBody"] = {
            "required": operation.body is not NoBody,
            "content": {"application/json": {"schema": schemas[operation.body]}},
        }
    rule = rule_of(operation.method.upper(), operation.path) or CLOSED
    if rule.open:
        document["security"] = []
    elif rule.scope is not None:
        document["security"] = [{"key": [rule.scope.value]}]
    return document


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    schema = query.model_json_schema()
    definitions = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "schema": _inlined(field, definitions)}
        for name, field in schema.get("properties", {}).items()
    ]


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Put enumerations where they are used: a parameter can't refer to its model's definitions."""
    match schema:
        case {"$ref": str(ref)}:
            return definitions[ref.rpartition("/")[2]]
        case dict():
            return {key: _inlined(value, definitions) for key, value in schema.items()}
        case list():
            return [_inlined(value, definitions) for value in schema]
        case _:
            return schema


class OpenApiRoutes:
    """Handler of /v1/openapi.json."""

    def __init__(self, version: str) -> None:
        self._document = openapi_document(version)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/openapi.json", self.read)]

    async def read(self, request: web.Request) -> web.Response:
        read_query(request, NoQuery)
        return web.json_response(self._document)
