"""The JSON bodies of the control plane, as pydantic checks them and the schema shows them."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carousel.service.api.encoding.document import check_members, parse
from carousel.service.api.encoding.explain import kind_of
from carousel.service.errors import InvalidRequest

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@~-]{0,127}$"
MAX_FORK = 1000
MAX_PAGE = 1000

SessionId = Annotated[str, Field(pattern=ID_PATTERN)]
Position = Annotated[int, Field(ge=0, lt=2**63)]
# Where a session may be put. Steps take it further, and must be able to name where it stands then.
MAX_PLACE = 2**53 - 1
Place = Annotated[int, Field(ge=0, le=MAX_PLACE)]
Ttl = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class Body(BaseModel):
    """A request body: nothing is converted, and nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class OpenSession(Body):
    """Opens a session on a model."""

    model: str
    version: Annotated[int, Field(ge=1)] | None = Field(None, description="Absent: the highest.")
    session_id: SessionId | None = Field(None, description="Absent: 128 random bits in hex.")
    state: dict[str, Any] | None = Field(
        None,
        description="Absent: the model's initial values. A model with `fixed` states must be given "
        "those; others may be left out then.",
    )
    position: Place = 0
    ttl_s: Ttl | None = Field(None, description="Idle time after which the session expires.")


class ForkSession(Body):
    """Copies a session into new ones, named by the client or counted."""

    session_ids: Annotated[list[SessionId], Field(min_length=1, max_length=MAX_FORK)] | None = None
    count: Annotated[int, Field(ge=1, le=MAX_FORK)] | None = None
    ttl_s: Ttl | None = None


class WriteState(Body):
    """Sets a session's state and where it stands."""

    state: dict[str, Any]
    position: Place


class Empty(Body):
    """A body without members, or none at all."""


class PageQuery(BaseModel):
    """Which sessions to list."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 100
    after: str | None = Field(None, description="The `next` of the page before.")


_BodyType = TypeVar("_BodyType", bound=Body)


def read_body(kind: type[_BodyType], body: bytes) -> _BodyType:
    """The body as a `kind`; raises Malformed, or InvalidRequest naming the field."""
    document = parse(body) if body else {}
    # pydantic makes an error of each, and there may be a million.
    check_members(document, kind.model_fields.keys())
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise invalid(error.errors(), sorted(kind.model_fields)) from None


def invalid(errors: Any, fields: list[str]) -> InvalidRequest:
    """The first of pydantic's errors, in this service's words."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    if first["type"] == "extra_forbidden":
        known = f"one of {', '.join(fields)}" if fields else "none"
        return InvalidRequest(f"{where}: unknown field given; expected {known}")
    if first["type"] == "missing":
        return InvalidRequest(f"{where}: nothing given; it is required")
    message = first["msg"].replace("Input should", "it should")
    return InvalidRequest(f"{where}: {kind_of(first['input'])} given; {message}")
