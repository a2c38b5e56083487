"""The redactor: the one place where a `RedactedFrame` is made, and only from complete detections of that very frame.

Covers are painted on the three planes of a copy, before any encoding, and destroy what they cover:

- `solid` leaks only where somebody is and how large: the default;
- `mosaic` looks like 4 × 4 cells of what is covered, and tells its mean colour alone: that in 8 levels, held for half a second,
  under noise that makes the cells and stays the same for a track's life. 4 × 4 cells of the face itself
  named 46 % of 40 people to a trained attacker (the attack is of McPherson et al., arXiv 1609.00408);
- `blur` is that mosaic smoothed, never a blur of the face itself (Revelio, arXiv 2506.12344).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.frame import (
    F32,
    REDACTOR_SEAL,
    RTP_CLOCK_HZ,
    U8,
    Detections,
    Frame,
    Picture,
    PicturePool,
    RedactedFrame,
    Tracks,
)
from engines.render.covers import Covers
from engines.render.exempt import cover_all_but, followed, surely
from engines.render.slate import draw_slate

Style = Literal["solid", "mosaic", "blur"]
STYLES: Final[tuple[Style, ...]] = get_args(Style)
SOLID_YUV: Final = (44, 128, 128)
CELLS: Final = 4
LEVELS: Final = 8
NOISE_LEVELS: Final = (24, 6, 6)
"""Of luma and chroma, up and down."""
CELLS_HELD_S: Final = 0.5
PATCH_SNAP_PX: Final = 8
"""Mosaic covers have sides of whole eights: few different masks, and the fast way through OpenCV's resize."""
SIZES_KEPT: Final = 3


class Unsafe(Exception):
    """This frame cannot be shown; the text says why."""


def _check(frame: Frame, detections: Detections) -> None:
    if not detections.complete:
        raise Unsafe("this frame was not analysed, or not wholly")
    if not detections.belong_to(frame):
        raise Unsafe("the detections are of another frame")


class Redactor:
    """Covers the faces of one stream. One thread at a time; `style` and `shown` may be set from any thread."""

    def __init__(self, style: Style = "solid") -> None:
        self.style = style
        self.shown: frozenset[int] = frozenset()
        """The members who are left uncovered in each frame in which they are surely themselves."""
        self._pools: dict[tuple[int, int], PicturePool] = {}
        self._cells = CellMemory()

    @property
    def style(self) -> Style:
        return self._style

    @style.setter
    def style(self, style: Style) -> None:
        if style not in STYLES:
            raise ValueError(f"no style {style!r}: one of {', '.join(STYLES)}")
        self._style: Style = style

    def redact(
        self,
        frame: Frame,
        detections: Detections,
        tracks: Tracks,
        *,
        extra_boxes: F32 | None = None,
        wary: bool = False,
        removed: NDArray[np.int32] | None = None,
    ) -> RedactedFrame:
        """A covered copy of `frame`; release it when it is encoded.

        `extra_boxes` (m, 4) xyxy px are covered too; `wary` covers doubtful detections everywhere (after a cut), and those
        who are shown by policy. Covers of others are painted over these as well. `removed` (m, 4) int32 are the covers
        that a person has looked at and taken away.

        Raises:
            Unsafe: the detections are not complete or not of this frame, or a box is not finite.
        """
        _check(frame, detections)
        shown = surely(tracks, () if wary else self.shown)
        picture = self._covered(frame, detections, tracks, extra_boxes, wary, shown, removed)
        pool = self._pool(frame.width, frame.height)
        return RedactedFrame(picture, pool, frame.rtp_time, seal=REDACTOR_SEAL)

    def cover_others(
        self,
        frame: Frame,
        detections: Detections,
        tracks: Tracks,
        track_id: int,
        *,
        extra_boxes: F32 | None = None,
        wary: bool = False,
    ) -> Picture:
        """A copy of `frame` for the track's fancam, in which all others are covered; to be returned with `give_back`.

        The track's own face is covered too while it is only predicted or touches another.

        Raises:
            Unsafe: as `redact`.
        """
        _check(frame, detections)
        shown = followed(detections, tracks, track_id)
        return self._covered(frame, detections, tracks, extra_boxes, wary, shown[:0] if wary else shown)

    def give_back(self, picture: Picture) -> None:
        """What `cover_others` returned is no longer needed."""
        self._pool(picture.width, picture.height).give_back(picture)

    def _covered(
        self,
        frame: Frame,
        detections: Detections,
        tracks: Tracks,
        extra_boxes: F32 | None,
        wary: bool,
        shown: NDArray[np.int64],
        removed: NDArray[np.int32] | None = None,
    ) -> Picture:
        """A copy of `frame` with all covers painted but those of the tracks `shown` and the `removed`. Raises Unsafe."""
        try:
            covers = cover_all_but(shown, detections, tracks, extra_boxes, wary=wary)
        except ValueError as error:
            raise Unsafe(str(error)) from error
        if removed is not None:
            covers = covers.without(removed)
        pool = self._pool(frame.width, frame.height)
        picture = pool.take()
        try:
            picture.copy_from(frame)
            self._paint(picture, frame, covers)
        except cv2.error as error:
            pool.give_back(picture)
            raise Unsafe(f"covering failed: {error}") from error
        return picture

    def slate(self, width: int, height: int, reason: str, rtp_time: int) -> RedactedFrame:
        """A picture of nobody that says why."""
        pool = self._pool(width, height)
        picture = pool.take()
        draw_slate(picture, reason)
        return RedactedFrame(picture, pool, rtp_time, seal=REDACTOR_SEAL)

    def _pool(self, width: int, height: int) -> PicturePool:
        pool = self._pools.pop((width, height), None) or PicturePool(width, height)
        self._pools[width, height] = pool
        while len(self._pools) > SIZES_KEPT:
            del self._pools[next(iter(self._pools))]
        return pool

    def _paint(self, picture: Picture, frame: Frame, covers: Covers) -> None:
        style = self._style
        boxes = covers.boxes.tolist()
        if style == "solid":
            for box in boxes:
                paint_solid(picture, box)
            return
        smooth = cv2.INTER_LINEAR if style == "blur" else cv2.INTER_NEAREST
        self._cells.prune(covers.ids.tolist())
        for box, track_id in zip(boxes, covers.ids.tolist(), strict=True):
            snapped = _snap(box)
            cells = self._cells.of(frame, snapped, track_id)
            for plane, values, shrink in zip((picture.y, picture.u, picture.v), cells, (1, 2, 2), strict=True):
                _paint_cells(plane, values, [side // shrink for side in snapped], smooth)


def paint_solid(picture: Picture, box: list[int]) -> None:
    """Fill the ellipse inscribed in `box` (xyxy, even), clipped by the picture's edges, on all three planes."""
    x0, y0, x1, y1 = box
    # Pixel i reaches from i to i + 1 and OpenCV draws about pixel centres, hence the - 1. In units of half a luma pixel.
    centre, axes = (x0 + x1 - 1, y0 + y1 - 1), (x1 - x0, y1 - y0)
    cv2.ellipse(picture.y, centre, axes, 0, 0, 360, SOLID_YUV[0], cv2.FILLED, cv2.LINE_8, 1)
    # The same in quarters of a chroma pixel, and a pixel more all around, so that no colour stays at the rim.
    half_centre, half_axes = (x0 + x1 - 2, y0 + y1 - 2), (x1 - x0 + 4, y1 - y0 + 4)
    for plane, level in ((picture.u, SOLID_YUV[1]), (picture.v, SOLID_YUV[2])):
        cv2.ellipse(plane, half_centre, half_axes, 0, 0, 360, level, cv2.FILLED, cv2.LINE_8, 2)


Cells = tuple[U8, U8, U8]


class CellMemory:
    """The mosaic cells of each track: sampled anew only after CELLS_HELD_S, under noise fixed for the track's life."""

    def __init__(self) -> None:
        self._random = np.random.default_rng()
        self._noise: dict[int, list[np.ndarray]] = {}
        self._held: dict[int, tuple[float, Cells]] = {}

    def of(self, frame: Frame, box: list[int], track_id: int) -> Cells:
        """Cells of the three planes, (CELLS, CELLS) for luma and half that for chroma; flat without a track."""
        if track_id < 0:
            return self._sample(frame, box, 1, [np.zeros((1, 1), np.int16)] * 3)
        time_s = frame.rtp_time / RTP_CLOCK_HZ
        held = self._held.get(track_id)
        if held is None or not held[0] <= time_s < held[0] + CELLS_HELD_S:
            if track_id not in self._noise:
                sides = (CELLS, CELLS // 2, CELLS // 2)
                self._noise[track_id] = [
                    self._random.integers(-most, most + 1, (side, side), np.int16)
                    for side, most in zip(sides, NOISE_LEVELS, strict=True)
                ]
            held = time_s, self._sample(frame, box, CELLS, self._noise[track_id])
            self._held[track_id] = held
        return held[1]

    def prune(self, ids: list[int]) -> None:
        """Forget tracks that are gone, now and then."""
        if len(self._held) > 2 * len(ids) + 64:
            self._held = {key: value for key, value in self._held.items() if key in ids}
            self._noise = {key: value for key, value in self._noise.items() if key in ids}

    @staticmethod
    def _sample(frame: Frame, box: list[int], side: int, noise: list[np.ndarray]) -> Cells:
        cells = []
        for plane, shrink, spoil in zip((frame.y, frame.u, frame.v), (1, 2, 2), noise, strict=True):
            x0, y0, x1, y1 = (max(0, value // shrink) for value in box)
            seen = plane[y0:y1, x0:x1]
            plane_side = max(1, side // shrink)
            if not seen.size:
                cells.append(np.full((plane_side, plane_side), 128, np.uint8))
                continue
            step = 256 // LEVELS
            level = int(cv2.mean(seen)[0]) // step * step + step // 2
            cells.append(np.clip(level + spoil, 16, 235).astype(np.uint8))
        return cells[0], cells[1], cells[2]


def _snap(box: list[int]) -> list[int]:
    """The box with sides of whole eights, about the same centre, at even pixels."""
    snapped = []
    for low, high in ((box[0], box[2]), (box[1], box[3])):
        side = -(-(high - low) // PATCH_SNAP_PX) * PATCH_SNAP_PX
        low -= (side - (high - low)) // 4 * 2
        snapped.append((low, low + side))
    return [snapped[0][0], snapped[1][0], snapped[0][1], snapped[1][1]]


@lru_cache(maxsize=48)
def _ellipse_mask(width: int, height: int) -> U8:
    """255 inside the ellipse inscribed in a box of this size, a pixel more all around, 0 outside."""
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width - 1, height - 1), (width + 1, height + 1), 0, 0, 360, 255, cv2.FILLED, cv2.LINE_8, 1)
    return mask


def _paint_cells(plane: U8, cells: U8, box: list[int], interpolation: int) -> None:
    """Spread `cells` over `box` (xyxy in pixels of `plane`) and paint the ellipse in it, clipped by the plane's edges."""
    x0, y0, x1, y1 = box
    height, width = plane.shape
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left >= right or top >= bottom:
        return
    seen = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
    patch = cv2.resize(cells, (x1 - x0, y1 - y0), interpolation=interpolation)
    cv2.copyTo(patch[seen], _ellipse_mask(x1 - x0, y1 - y0)[seen], plane[top:bottom, left:right])
