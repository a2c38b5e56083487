"""What a stream's redaction may be told, as JSON; checked where it comes in, without a look at any picture."""

from __future__ import annotations

from typing import Any, Final

MOST_ZONES: Final = 32
MOST_POINTS: Final = 64

Polygon = tuple[tuple[float, float], ...]


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
