"""The JSON shapes of uploads."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas_messages import FileName


class NewUploadByUrl(BaseModel):
    """POST /v1/media with JSON: a file that wafleet fetches itself, from a public host."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    filename: FileName | None = None


class UploadQuery(BaseModel):
    """POST /v1/media with a file as its body: the file's name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: FileName | None = None


class UploadOut(BaseModel):
    """A file that was handed in; `problem` says why it can be sent as a document only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    mimetype: str
    filename: str | None
    size: int
    problem: str | None
    created_at: str
