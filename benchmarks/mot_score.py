"""HOTA, CLEAR and identity measures of tracks against the truth, over the boxes of all sequences.

HOTA: Luiten et al., A Higher Order Metric for Evaluating Multi-Object Tracking, IJCV 2021. CLEAR: Bernardin and Stiefelhagen, 2008.
IDF1: Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from engines.track.kalman import F64
from engines.track.mot import per_frame
from engines.track.pairs import Rows, overlap

ALPHAS: Final = np.arange(1, 20) * 0.05
LEAST: Final = 0.5
"""Intersection over union of a match in CLEAR and IDF1."""
EPS: Final = float(np.finfo(float).eps)
DISTRACTORS: Final = (2, 7, 8, 12)
"""Classes of MOT17 that are neither to be found nor wrong to find."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What a sequence adds to the totals; HOTA's as arrays over ALPHAS."""

    matched: F64
    associated: F64
    true: int
    given: int
    clear_matched: int
    switches: int
    id_matched: int


@dataclass(frozen=True, slots=True)
class _Frame:
    true: Rows
    given: Rows
    fit: F64


def sums(truth: F64, tracks: F64) -> Sums:
    """Of one sequence: MOT tables (n, 7 or more); with nine columns the truth has classes and distractors."""
    frames, true_ids, given_ids = _frames(truth, tracks)
    true_count, given_count = np.zeros(true_ids), np.zeros(given_ids)
    likely, close = np.zeros((true_ids, given_ids)), np.zeros((true_ids, given_ids))
    for frame in frames:
        true_count[frame.true] += 1
        given_count[frame.given] += 1
        here = np.ix_(frame.true, frame.given)
        rest = frame.fit.sum(axis=0) + frame.fit.sum(axis=1)[:, None] - frame.fit
        likely[here] += frame.fit / np.maximum(rest, EPS)
        close[here] += frame.fit >= LEAST - EPS
    alike = likely / np.maximum(true_count[:, None] + given_count - likely, EPS)
    matched, associated = _hota(frames, alike, true_count, given_count)
    clear_matched, switches = _clear(frames, true_ids)
    rows, columns = linear_sum_assignment(close, maximize=True)
    return Sums(
        matched, associated, int(true_count.sum()), int(given_count.sum()), clear_matched, switches,
        int(close[rows, columns].sum()),
    )  # fmt: skip


def total(parts: list[Sums]) -> dict[str, float]:
    """HOTA, DetA, AssA, IDF1, MOTA in % and the number of switches, over all sequences."""
    matched = np.sum([part.matched for part in parts], axis=0)
    true, given = sum(part.true for part in parts), sum(part.given for part in parts)
    found = matched / np.maximum(true + given - matched, 1)
    kept = np.sum([part.associated for part in parts], axis=0) / np.maximum(matched, 1)
    switches = sum(part.switches for part in parts)
    right = sum(part.clear_matched for part in parts)
    return {
        "HOTA": 100 * float(np.sqrt(found * kept).mean()),
        "DetA": 100 * float(found.mean()),
        "AssA": 100 * float(kept.mean()),
        "IDF1": 100 * 2 * sum(part.id_matched for part in parts) / max(true + given, 1),
        "MOTA": 100 * (2 * right - given - switches) / max(true, 1),
        "switches": switches,
    }


def _frames(truth: F64, tracks: F64) -> tuple[list[_Frame], int, int]:
    """Frames with ids numbered from 0, without what the truth says to ignore."""
    classes = truth.shape[1] > 8 and bool((truth[:, 7] != 1).any())
    last = int(max(truth[:, 0].max(initial=0), tracks[:, 0].max(initial=0)))
    true_number: dict[float, int] = {}
    given_number: dict[float, int] = {}
    frames = []
    for (_, true), (_, given) in zip(per_frame(truth, last), per_frame(tracks, last), strict=True):
        fit = overlap(_edges(true), _edges(given))
        if classes:
            close = np.where(fit < LEAST - EPS, 0, fit)
            row, column = linear_sum_assignment(close, maximize=True)
            on_distractor = (close[row, column] > 0) & np.isin(true[row, 7], DISTRACTORS)
            kept = np.ones(len(given), np.bool_)
            kept[column[on_distractor]] = False
            people = (true[:, 6] > 0) & (true[:, 7] == 1)
            true, given, fit = true[people], given[kept], fit[people][:, kept]
        frames.append(_Frame(_numbered(true[:, 1], true_number), _numbered(given[:, 1], given_number), fit))
    return frames, len(true_number), len(given_number)


def _numbered(ids: F64, numbers: dict[float, int]) -> Rows:
    return np.array([numbers.setdefault(i, len(numbers)) for i in ids.tolist()], np.intp)


def _edges(rows: F64) -> F64:
    return np.concatenate((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]), axis=1).T


def _hota(frames: list[_Frame], alike: F64, true_count: F64, given_count: F64) -> tuple[F64, F64]:
    """True positives and the sum of their association scores, over ALPHAS."""
    together = np.zeros((len(ALPHAS), *alike.shape))
    for frame in frames:
        row, column = linear_sum_assignment(alike[np.ix_(frame.true, frame.given)] * frame.fit, maximize=True)
        good = frame.fit[row, column] >= ALPHAS[:, None] - EPS
        together[:, frame.true[row], frame.given[column]] += good
    either = true_count[:, None] + given_count - together
    return together.sum(axis=(1, 2)), (together * together / np.maximum(either, 1)).sum(axis=(1, 2))


def _clear(frames: list[_Frame], true_ids: int) -> tuple[int, int]:
    """True positives and id switches; what was matched in the frame before stays matched where it can."""
    matched = switches = 0
    ever, before = np.full(true_ids, -1), np.full(true_ids, -1)
    for frame in frames:
        if not len(frame.true) or not len(frame.given):
            continue
        goes_on = frame.given == before[frame.true][:, None]
        score = np.where(frame.fit < LEAST - EPS, 0, 1000 * goes_on + frame.fit)
        row, column = linear_sum_assignment(score, maximize=True)
        good = score[row, column] > EPS
        true, given = frame.true[row[good]], frame.given[column[good]]
        switches += int(((ever[true] >= 0) & (ever[true] != given)).sum())
        before[:] = -1
        ever[true] = before[true] = given
        matched += len(true)
    return matched, switches
