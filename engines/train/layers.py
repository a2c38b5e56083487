"""Small networks of dense layers learnt with numpy alone: values forward, gradients back, Adam's steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from engines.frame import F32

RATE: Final = 4e-3
FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.999
LEAST_DEVIATION: Final = 1e-4

Weights = dict[str, F32]
"""`w0` (inputs, outputs), `b0` (outputs,), `w1` …; between two layers negative values become 0."""


def first_weights(sizes: tuple[int, ...], random: np.random.Generator) -> Weights:
    """Of layers between these sizes."""
    weights: Weights = {}
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        weights[f"w{k}"] = random.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32)
        weights[f"b{k}"] = np.zeros(outputs, np.float32)
    return weights


def forward(weights: Weights, told: F32) -> list[F32]:
    """What each layer is given, `told` (n, inputs) first, and in the end what the last one gives."""
    values, layers = [told], len(weights) // 2
    for k in range(layers):
        value = values[-1] @ weights[f"w{k}"] + weights[f"b{k}"]
        values.append(np.maximum(value, 0) if k < layers - 1 else value)
    return values


def backward(weights: Weights, values: list[F32], slope: F32) -> Weights:
    """Gradients of all weights from those of the last values, `slope` (n, outputs)."""
    gradient: Weights = {}
    for k in reversed(range(len(weights) // 2)):
        gradient[f"w{k}"], gradient[f"b{k}"] = values[k].T @ slope, slope.sum(axis=0)
        if k:
            slope = (slope @ weights[f"w{k}"].T) * (values[k] > 0)
    return gradient


def scale_of(told: F32) -> tuple[F32, F32]:
    """Mean and inverse deviation of each feature of `told` (n, inputs); what hardly varies counts for nothing."""
    deviation = told.std(axis=0)
    return told.mean(axis=0), np.where(deviation > LEAST_DEVIATION, 1 / np.maximum(deviation, LEAST_DEVIATION), 0)


def scaled(weights: Weights, mean: F32, scale: F32) -> Weights:
    """Weights for features as they are, of those for (features - mean) * scale."""
    first = weights["w0"]
    return weights | {"w0": first * scale[:, None], "b0": weights["b0"] - (mean * scale) @ first}


class Adam:
    """Adam with weight decay, a rate that falls along a cosine, and `steps` in all (Kingma and Ba, arXiv 1412.6980; Loshchilov
    and Hutter, arXiv 1711.05101)."""

    def __init__(self, weights: Weights, steps: int, decay: float) -> None:
        self._weights, self._steps, self._decay = weights, steps, decay
        self._first, self._second = ({name: np.zeros_like(value) for name, value in weights.items()} for _ in range(2))
        self._step = 0

    def step(self, gradient: Weights) -> None:
        """Change the weights, in place."""
        self._step += 1
        rate = RATE * 0.5 * (1 + np.cos(np.pi * self._step / self._steps))
        first_share, second_share = 1 - FIRST_MOMENT**self._step, 1 - SECOND_MOMENT**self._step
        for name, g in gradient.items():
            first, second, weight = self._first[name], self._second[name], self._weights[name]
            first += (1 - FIRST_MOMENT) * (g - first)
            second += (1 - SECOND_MOMENT) * (g * g - second)
            weight *= np.float32(1 - rate * self._decay)
            weight -= (rate / first_share * first / (np.sqrt(second / second_share) + 1e-8)).astype(np.float32)
