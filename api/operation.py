"""One route as the OpenAPI document describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.schemas import NoQuery

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route as documented; `media_type` is what it answers with where that is not JSON."""

    method: str
    path: str
    summary: str
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] = NoQuery
    answer: type[BaseModel] | None = None
    media_type: str | None = None
