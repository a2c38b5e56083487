"""The two small networks of the tracker: how likely a pair of a track and a detection is one person (`pairs` tells it what the
pair is like), and how likely two tracks that part were exchanged (`partings`).

Their weights are learnt by `fancam train tracker`; weights.md says from what.
"""

from __future__ import annotations

import encodings.cp437  # noqa: F401 (zipfile takes it at the first .npz, which would be while serving)
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from engines.track import pairs, partings
from engines.track.pairs import F32

FOLDER = Path(__file__).parent
PREFIX: Final = "parting_"
"""What the names of the second network's arrays begin with in a file."""


class Odds:
    """A network from `inputs` features to log-odds: `w0`, `b0`, `w1` … are the layers, (inputs, outputs) and (outputs,); between
    them negative values become 0.

    Raises:
        ValueError: the weights are not for these features.
    """

    def __init__(self, weights: Mapping[str, F32], inputs: int = pairs.FEATURES) -> None:
        count = len(weights) // 2
        if not count or set(weights) != {f"{kind}{k}" for k in range(count) for kind in "wb"}:
            raise ValueError("not the weights of a tracker")
        self._layers = [
            (np.ascontiguousarray(weights[f"w{k}"].T, np.float32), weights[f"b{k}"].astype(np.float32)[:, None])
            for k in range(count)
        ]
        sizes = [weight.shape for weight, _ in self._layers]
        fits = [first[0] == second[1] for first, second in pairwise(sizes)]
        if sizes[0][1] != inputs or sizes[-1][0] != 1 or not all(fits):
            raise ValueError(f"not the weights of a network of {inputs} features and one output")

    def __call__(self, features: F32) -> F32:
        """(inputs, n) to (n,) log-odds."""
        for weight, bias in self._layers[:-1]:
            features = weight @ features
            features += bias
            np.maximum(features, 0, out=features)
        weight, bias = self._layers[-1]
        return (weight @ features + bias)[0]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a tracker has learnt: how likely pairs are the `same` person; and, where that is known, how likely two tracks that part
    were `exchanged`."""

    same: Odds
    exchanged: Odds | None = None

    @classmethod
    def of(cls, weights: Mapping[str, F32]) -> Learnt:
        """From both networks' weights, those of the second by names that begin with PREFIX.

        Raises:
            ValueError: they are others.
        """
        first = {name: value for name, value in weights.items() if not name.startswith(PREFIX)}
        same = Odds(first)
        if len(first) == len(weights):
            raise ValueError("weights of an earlier version, without partings: fancam train tracker learns them anew")
        second = {name.removeprefix(PREFIX): value for name, value in weights.items() if name not in first}
        return cls(same, Odds(second, partings.FEATURES))


@cache
def shipped(name: str) -> Learnt:
    """The weights that come with Fancam, for the kind of that name."""
    return load(FOLDER / f"{name}.npz")


def load(path: Path) -> Learnt:
    """Weights from a file.

    Raises:
        ValueError: it holds no such weights.
        OSError: it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Learnt.of({name: arrays[name] for name in arrays.files})
    except (
        AttributeError,
        IndexError,
        zipfile.BadZipFile,
    ) as error:  # one array; one without dimensions; a broken file
        raise ValueError(f"not the weights of a tracker: {error}") from error
