"""The network that says how likely a pair of a track and a detection is one person: log-odds from what `pairs` tells it.

Its weights are learnt by `fancam train tracker`; weights.md says from what.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from engines.track.pairs import F32, FEATURES

FOLDER = Path(__file__).parent


class Odds:
    """`w0`, `b0`, `w1` … are the layers, (inputs, outputs) and (outputs,); between them negative values become 0.

    Raises:
        ValueError: the weights are not for these features.
    """

    def __init__(self, weights: Mapping[str, F32]) -> None:
        count = len(weights) // 2
        if not count or set(weights) != {f"{kind}{k}" for k in range(count) for kind in "wb"}:
            raise ValueError("not the weights of a tracker")
        self._layers = [
            (np.ascontiguousarray(weights[f"w{k}"].T, np.float32), weights[f"b{k}"].astype(np.float32)[:, None])
            for k in range(count)
        ]
        sizes = [weight.shape for weight, _ in self._layers]
        fits = [first[0] == second[1] for first, second in pairwise(sizes)]
        if sizes[0][1] != FEATURES or sizes[-1][0] != 1 or not all(fits):
            raise ValueError(f"not the weights of a network of {FEATURES} features and one output")

    def __call__(self, features: F32) -> F32:
        """(FEATURES, n) to (n,) log-odds."""
        for weight, bias in self._layers[:-1]:
            features = weight @ features
            features += bias
            np.maximum(features, 0, out=features)
        weight, bias = self._layers[-1]
        return (weight @ features + bias)[0]


@cache
def shipped(name: str) -> Odds:
    """The weights that come with Fancam, for the kind of that name."""
    return load(FOLDER / f"{name}.npz")


def load(path: Path) -> Odds:
    """Weights from a file.

    Raises:
        ValueError: it holds no such weights.
        OSError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Odds({name: arrays[name] for name in arrays.files})
    except (
        AttributeError,
        IndexError,
        zipfile.BadZipFile,
    ) as error:  # one array; one without dimensions; a broken file
        raise ValueError(f"not the weights of a tracker: {error}") from error
