"""What a stream's redaction may be told, as JSON; checked where it comes in, without a look at any picture."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Fancams = Literal["show all", "cover others"]
"""Whether a fancam shows the others around the person it follows."""
MOST_NAMES: Final = 256
MOST_ZONES: Final = 32
MOST_POINTS: Final = 64

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Cover:
    """Who is covered: everyone but the members `names` (`except`), or of all members only these (`only`).

    Either way those whom nobody is sure of are covered, and so are strangers: nobody can be sure that a stranger is none
    of those who must be covered. The default covers everyone.
    """

    kind: Literal["except", "only"] = "except"
    names: tuple[str, ...] = ()

    def shown(self, members: Sequence[str]) -> frozenset[int]:
        """Those of `members`, all that can be told apart, who are not covered while they are surely themselves: their places.

        Nobody where one who must be covered is not among them, and so might be taken for another.
        """
        if self.kind == "only" and not set(self.names) <= set(members):
            return frozenset()
        seen = self.kind == "except"
        return frozenset(place for place, name in enumerate(members) if (name in self.names) == seen)

    def told(self) -> str | dict[str, list[str]]:
        """As `parse_cover` takes it."""
        return {self.kind: list(self.names)} if self.names else "everyone"

    def check(self, members: Collection[str]) -> None:
        """Raises ValueError: a name that is none of `members`, so that nobody can be sure who it is."""
        for name in self.names:
            if name not in members:
                known = f"known are {', '.join(sorted(members))}" if members else "the model knows nobody by name"
                raise ValueError(f"nobody is called {name!r}: {known}")


def parse_cover(value: Any) -> Cover:
    """`"everyone"`, `{"except": [name, …]}` or `{"only": [name, …]}`.

    Raises:
        ValueError: what is wrong with it, in one line.
    """
    if value == "everyone":
        return Cover()
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= {"except", "only"}:
        raise ValueError('cover is "everyone", {"except": [names]} or {"only": [names]}')
    ((kind, names),) = value.items()
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= MOST_NAMES:
        raise ValueError(f"cover: {kind} is a list of 1 to {MOST_NAMES} names")
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"cover: {kind} is a list of names")
    return Cover(kind, tuple(names))


def read_zones(text: str) -> tuple[Polygon, ...]:
    """Those in a JSON text; raises ValueError as `parse_zones` does."""
    return parse_zones(json.loads(text))


def parse_zones(value: Any) -> tuple[Polygon, ...]:
    """Privacy zones `[[[x, y], [x, y], [x, y], …], …]`: polygons in shares of the picture's width and height, 0 to 1.

    Raises:
        ValueError: what is wrong with it, in one line.
    """
    if not isinstance(value, list | tuple) or len(value) > MOST_ZONES:
        raise ValueError(f"zones are a list of at most {MOST_ZONES} polygons")
    return tuple(_polygon(points, number) for number, points in enumerate(value, 1))


def _polygon(points: Any, number: int) -> Polygon:
    if not isinstance(points, list | tuple) or not 3 <= len(points) <= MOST_POINTS:
        raise ValueError(f"zone {number} is not a list of 3 to {MOST_POINTS} points")
    corners = []
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != 2 or not all(_is_share(share) for share in point):
            raise ValueError(f"zone {number}: a point is two numbers from 0 to 1")
        corners.append((float(point[0]), float(point[1])))
    return tuple(corners)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
