"""Log-likelihood ratios that a face is a track's next look, by its filter alone: where no network has learnt the kind's pairs."""

from __future__ import annotations

from typing import Final

import numpy as np

from engines.track.kalman import F64, SCALE, VALUE, VARIANCE, BoxFilters
from engines.track.memory import SURE_S, Found
from engines.track.pairs import Rows

TAILS: Final = 10.0
"""Degrees of freedom of Student's t: people turn and jump more often than a normal distribution allows."""
BELIEVED: Final = 0.5
"""Of the filter's variance: it allows for people who start to run, since covers grow with it, but few do."""
EXPECTED: Final = 3.0
"""Log-odds that a track seen surely just now is seen again, fading within EXPECTED_FADES_S: it keeps a sure detection from
being handed to a long lost track that happens to lie near."""
EXPECTED_FADES_S: Final = 0.2


def likelihood(
    filters: BoxFilters, memory: F64, found: Found, track: Rows, detection: Rows, high_score: float, now: float
) -> F64:
    """(n,) for n pairs."""
    state = filters.state[:, :, track]
    per_px = 1 / np.sqrt(state[3, SCALE])
    offset = (found.centred[:, detection] - state[:, VALUE]) * per_px
    variance = state[:, VARIANCE] * (BELIEVED * per_px * per_px) + found.noise[:, detection] ** 2
    surprise = (offset * offset / variance).sum(axis=0)
    fit = -0.5 * (TAILS + 4) * np.log1p(surprise / TAILS) - 0.5 * np.log(variance).sum(axis=0)
    expected = EXPECTED * np.exp((memory[SURE_S, track] - now) / EXPECTED_FADES_S)
    return fit + np.where(found.scores[detection] >= high_score, expected, 0)
