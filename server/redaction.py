"""What a stream's redaction may be told, over HTTP or in a file, and how it is checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from engines.models.networks import check_known
from engines.policy import Fancams, parse_cover, parse_zones

Names = list[str]


class Redaction(BaseModel):
    """A change of a stream's redaction; what is left out stays as it is. There is no way to turn it off."""

    model_config = ConfigDict(extra="forbid", strict=True)

    panic: bool | None = None
    """Cover the whole picture of every feed, at once."""
    style: Literal["solid", "mosaic", "blur"] | None = None
    """How a face is covered; every style destroys it."""
    cover: Literal["everyone"] | dict[Literal["except", "only"], Names] | None = None
    """Who is covered: everyone, everyone except the members named, or of all members only those named. Whoever is not surely
    recognised in a frame is covered in it, and so are strangers."""
    classes: Names | None = None
    """What is covered besides faces: other classes that the models know, such as plates."""
    heads: bool | None = None
    """Whether persons without a visible face have their head covered; a model that finds persons is needed."""
    fancams: Fancams | None = None
    """Whether a fancam shows the others around the person it follows."""
    zones: list[list[tuple[float, float]]] | None = None
    """Polygons, x and y from 0 to 1, that are blacked out in every feed, in place of those before; with any, there is no
    raw feed."""

    @field_validator("cover", mode="before")
    @classmethod
    def _is_cover(cls, value: Any) -> Any:
        if value is not None:
            parse_cover(value)
        return value

    @field_validator("zones")
    @classmethod
    def _are_zones(cls, value: Any) -> Any:
        parse_zones(value or [])
        return value


def read_redaction(text: bytes | str) -> dict[str, Any]:
    """What a JSON text asks for.

    Raises:
        ValueError: what is wrong with it, in one line.
    """
    try:
        return Redaction.model_validate_json(text).model_dump(exclude_none=True)
    except ValidationError as error:
        raise ValueError(first_of(error)) from None


def first_of(error: ValidationError) -> str:
    """The first of what is wrong with a JSON body, and where, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg'].removeprefix('Value error, ')}"


def check_names(change: dict[str, Any], members: Collection[str], finds: Sequence[str]) -> None:
    """Raises ValueError: `change`, as `read_redaction` returns it, names somebody who is none of `members`, or what no
    model finds."""
    parse_cover(change.get("cover", "everyone")).check(members)
    check_known(change.get("classes", ()), change.get("heads", False), finds)
