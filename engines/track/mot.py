"""Tables of boxes as MOTChallenge writes them: `frame,id,left,top,width,height,score…`, frames from 1, one box a line."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engines.frame import Detections
from engines.track.kalman import F64

MOST_FRAMES = 10_000_000


class BadTable(Exception):
    """A file that is no such table; the text is one line."""


def read(path: Path) -> F64:
    """(n, columns ≥ 7) of a .txt or .txt.gz, sorted by frame.

    Raises:
        BadTable: it cannot be read, a line has fewer than 7 numbers or other than the first, or a frame is no whole number from 1.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("ascii")
    except OSError as error:
        raise BadTable(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadTable(f"{path}: not a table of text: {error}") from error
    if not text.strip():
        return np.zeros((0, 7))
    try:
        table = np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)
    except ValueError as error:
        raise BadTable(f"{path}: {error}") from error
    if table.shape[1] < 7:
        raise BadTable(f"{path}: a line needs frame,id,left,top,width,height,score; this has {table.shape[1]} numbers")
    frames = table[:, 0]
    wrong = np.flatnonzero(~((frames >= 1) & (frames <= MOST_FRAMES) & (frames == np.floor(frames))))
    if len(wrong):
        raise BadTable(f"{path}: line {wrong[0] + 1}: frame {frames[wrong[0]]:g} is not a whole number from 1")
    return np.asarray(table[np.argsort(frames, kind="stable")])


def write(path: Path, rows: F64) -> None:
    """Write rows (n, 7) as a table, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.part")
    tail = np.full((len(rows), 3), -1)
    try:
        np.savetxt(aside, np.hstack((rows, tail)), fmt="%d,%d,%.2f,%.2f,%.2f,%.2f,%.3f,%d,%d,%d")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def per_frame(table: F64, frames: int) -> Iterator[tuple[int, F64]]:
    """Each frame from 1 to `frames` with its rows."""
    starts = np.searchsorted(table[:, 0], np.arange(1, frames + 2))
    for frame in range(1, frames + 1):
        yield frame, table[starts[frame - 1] : starts[frame]]


def detections(rows: F64) -> Detections:
    """Rows of one frame as detections."""
    boxes = np.hstack((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6])).astype(np.float32)
    n = len(rows)
    return Detections(
        boxes,
        rows[:, 6].astype(np.float32),
        np.zeros(n, np.int32),
        np.full((n, 5, 2), np.nan, np.float32),
        0,
        0,
        0,
        True,
    )
