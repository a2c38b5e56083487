"""The network that says how likely a pair of a track and a detection is one person: log-odds from what `pairs` tells it.

Its weights are learnt by `fancam train tracker`; weights.md says from what.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
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
        self._layers = [
            (np.ascontiguousarray(weights[f"w{k}"].T, np.float32), weights[f"b{k}"][:, None].astype(np.float32))
            for k in range(count)
        ]
        if not count or self._layers[0][0].shape[1] != FEATURES or self._layers[-1][0].shape[0] != 1:
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
    with np.load(path, allow_pickle=False) as arrays:
        return Odds(dict(arrays))
