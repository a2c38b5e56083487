"""The slate: the dark card a feed shows when it has nothing safe to show, with the reason on it."""

from __future__ import annotations

from typing import Final

import cv2

from engines.frame import U8, Picture

FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
BACKGROUND_YUV: Final = (30, 132, 126)
INK: Final = 200
MARK_INK: Final = 110
MARK: Final = "FANCAM"
MARK_FROM_PX: Final = 160


def draw_slate(picture: Picture, reason: str) -> None:
    """Paint the whole picture over and write `reason` in its middle, wrapped and scaled to fit any size."""
    picture.fill(*BACKGROUND_YUV)
    words = reason.encode("ascii", "replace").decode().split() or ["-"]
    room_w, room_h = picture.width * 0.86, picture.height * 0.6
    scale, lines = _fit(words, room_w, room_h, min(picture.width, picture.height * 2) / 500)
    thickness = max(1, round(scale * 1.6))
    (_, line_h), _ = cv2.getTextSize("Hg", FONT, scale, thickness)
    pitch = line_h * 1.8
    top = (picture.height - pitch * len(lines)) / 2 + line_h * 1.3
    for number, line in enumerate(lines):
        _centred(picture.y, line, round(top + number * pitch), scale, INK, thickness)
    if picture.height >= MARK_FROM_PX:
        small = max(0.35, scale * 0.45)
        _centred(picture.y, MARK, picture.height - round(line_h * 0.8), small, MARK_INK, max(1, thickness // 2))


def _fit(words: list[str], room_w: float, room_h: float, scale: float) -> tuple[float, list[str]]:
    """The largest scale, from the one given downwards, at which the wrapped words fit the room; and the lines."""
    scale = max(scale, 0.7)
    while True:
        lines = _wrap(words, room_w, scale)
        (_, line_h), _ = cv2.getTextSize("Hg", FONT, scale, 1)
        widest = max(cv2.getTextSize(line, FONT, scale, 1)[0][0] for line in lines)
        if (widest <= room_w and line_h * 1.8 * len(lines) <= room_h) or scale < 0.25:
            return scale, lines
        scale *= 0.9


def _wrap(words: list[str], room_w: float, scale: float) -> list[str]:
    lines = [words[0]]
    for word in words[1:]:
        longer = f"{lines[-1]} {word}"
        if cv2.getTextSize(longer, FONT, scale, 1)[0][0] <= room_w:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _centred(plane: U8, text: str, baseline: int, scale: float, level: int, thickness: int) -> None:
    (width, _), _ = cv2.getTextSize(text, FONT, scale, thickness)
    origin = (plane.shape[1] - width) // 2, baseline
    cv2.putText(plane, text, origin, FONT, scale, level, thickness, cv2.LINE_AA)
