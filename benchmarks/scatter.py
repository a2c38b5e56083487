"""Time against accuracy, drawn with OpenCV: one dot a measurement, a line between the sizes of one model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

WIDTH, HEIGHT = 1080, 680
LEFT, RIGHT, TOP, BOTTOM = 70, 40, 50, 60
INK, GRID = (40, 40, 40), (225, 225, 225)
COLOURS = ((200, 80, 20), (40, 40, 210), (30, 140, 40), (160, 40, 160), (20, 130, 220), (140, 120, 20), (90, 90, 90))
TICKS = tuple(part * 10**power for power in range(-1, 4) for part in (1, 2, 5))
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


class Dot(NamedTuple):
    """`x` > 0 is drawn on a logarithmic scale, `y` on one from 0 to 1; dots of one `name` are joined."""

    name: str
    x: float
    y: float


def save_scatter(path: Path, dots: Sequence[Dot], x_title: str, y_title: str) -> None:
    """A PNG of WIDTH × HEIGHT px."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    low, high = np.log(min(xs) / 1.3), np.log(max(xs) * 1.6)
    floor, ceiling = np.floor(20 * min(ys) - 0.2) / 20, min(1.0, np.ceil(20 * max(ys) + 0.2) / 20)

    def at(x: float, y: float) -> tuple[int, int]:
        across = (np.log(x) - low) / (high - low)
        up = (y - floor) / max(ceiling - floor, 0.1)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * across), round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up)

    for tick in (tick for tick in TICKS if low <= np.log(tick) <= high):
        column = at(tick, floor)[0]
        cv2.line(picture, (column, TOP), (column, HEIGHT - BOTTOM), GRID, 1)
        _text(picture, f"{tick:g}", (column - 8, HEIGHT - BOTTOM + 18), INK)
    for level in np.arange(floor, ceiling + 0.01, 0.05):
        row = at(1, level)[1]
        cv2.line(picture, (LEFT, row), (WIDTH - RIGHT, row), GRID, 1)
        _text(picture, f"{level:.2f}", (22, row + 5), INK)
    _text(picture, x_title, (WIDTH // 2 - 110, HEIGHT - 14), INK)
    _text(picture, y_title, (12, 24), INK)
    _draw(picture, [Dot(dot.name, *at(dot.x, dot.y)) for dot in dots])
    cv2.imwrite(str(path), picture)


def _draw(picture: np.ndarray, dots: list[Dot]) -> None:
    """Dots in px; each name stands once, beside its rightmost dot, where it covers nothing."""
    taken: list[tuple[float, ...]] = [(dot.x - 6, dot.y - 6, dot.x + 6, dot.y + 6) for dot in dots]
    series = groupby(sorted(dots, key=lambda dot: (dot.name, dot.x)), key=lambda dot: dot.name)
    for number, (name, group) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        points = [(int(dot.x), int(dot.y)) for dot in group]
        cv2.polylines(picture, [np.array(points, np.int32)], False, colour, 1, cv2.LINE_AA)
        for point in points:
            cv2.circle(picture, point, 5, colour, -1, cv2.LINE_AA)
        place = _free_place(name, points[-1], taken)
        taken.append(place)
        middle = round((place[1] + place[3]) / 2)
        if abs(middle - points[-1][1]) > 8:  # too far to tell whose it is
            end = min(max(points[-1][0], round(place[0])), round(place[2])), middle
            cv2.line(picture, points[-1], end, colour, 1, cv2.LINE_AA)
            cv2.rectangle(
                picture, (int(place[0]), int(place[1]) + 2), (int(place[2]), int(place[3]) - 2), (255,) * 3, -1
            )
        _text(picture, name, (int(place[0]), int(place[3]) - 4), colour)


def _free_place(
    name: str, point: tuple[int, int], taken: Sequence[tuple[float, ...]]
) -> tuple[float, float, float, float]:
    (width, height), _ = cv2.getTextSize(name, FONT, SIZE, 1)
    places = []
    for down in (0, *(sign * step * 16 for step in range(1, 12) for sign in (-1, 1))):
        for left in (point[0] + 9, point[0] - 9 - width):
            top = point[1] + down - height / 2 - 4
            places.append((left, top, left + width, top + height + 8))
    inside = [p for p in places if p[0] >= LEFT and p[2] <= WIDTH and p[1] >= 0 and p[3] <= HEIGHT - BOTTOM]
    free = [p for p in inside if not any(_overlap(p, other) for other in taken)]
    return next(iter(free or inside or places))


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _text(picture: np.ndarray, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, at, FONT, SIZE, colour, 1, cv2.LINE_AA)
