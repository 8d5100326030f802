"""The JSON shapes of API keys."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from api.keys import Scope
from api.schemas import Title, Ulid

LONGEST_KEY_SECONDS: Final = 10 * 365 * 86_400


class NewApiKey(BaseModel):
    """POST /v1/keys: a key for the caller's workspace, allowed no more than the caller's own.

    `sessions` are ids; without them it is for all sessions. `expires_in` is in seconds; without it
    the key lasts until it is revoked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Title
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(min_length=1, max_length=32)
    sessions: list[Ulid] | None = Field(default=None, min_length=1, max_length=100)
    expires_in: int | None = Field(default=None, ge=60, le=LONGEST_KEY_SECONDS)


class KeysQuery(BaseModel):
    """GET /v1/keys: keys in order of id, those after this id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Ulid | None = None
    limit: int = Field(default=100, ge=1, le=500)


class ApiKeyOut(BaseModel):
    """A key without its secret; `sessions` null is for all sessions of the workspace."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    key_id: str
    name: str
    scopes: list[Scope]
    sessions: list[str] | None
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    created_at: str


class MadeApiKeyOut(ApiKeyOut):
    """A key just made. `key` is its text, which is never shown again."""

    key: str


class ApiKeysOut(BaseModel):
    """A page of keys; `next_after` is the next page's `after`, null on the last page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: list[ApiKeyOut]
    next_after: str | None
