"""The JSON shapes of what is asked of many messages at once, or of one that is in doubt."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from api.schemas import FieldProblem, MessageOut
from api.schemas_messages import NewMessageOfAnyKind
from storage.acceptance import Resolution
from storage.store import SessionStatus

MOST_AT_ONCE: Final = 1_000

# Looked at one by one, so that a wrong one does not keep the others from being accepted.
_Item = Annotated[
    dict[str, Any], WithJsonSchema({"$ref": f"#/components/schemas/{NewMessageOfAnyKind.__name__}"})
]


class NewMessages(BaseModel):
    """POST …/messages/batch: messages as POST …/messages takes them, to be accepted in order."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    messages: list[_Item] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Resolve(BaseModel):
    """POST …/resolve: send what is unknown again under its one id, or give it up."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    action: Annotated[Resolution, Field(strict=False)]


class ItemProblem(BaseModel):
    """Why one message of a batch was not accepted, as the problem of a request of its own."""

    status: int
    code: str
    title: str
    detail: str
    errors: list[FieldProblem] | None = None


class ItemOut(BaseModel):
    """What became of the message in this place of the batch: one of the two is null."""

    index: int
    message: MessageOut | None = None
    error: ItemProblem | None = None


class BatchOut(BaseModel):
    """A result for each message of a batch, in its order."""

    accepted: int
    refused: int
    session_status: SessionStatus
    results: list[ItemOut]


class ResolvedOut(BaseModel):
    """How many unknown messages there were."""

    resolved: int
