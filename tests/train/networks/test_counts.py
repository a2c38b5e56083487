"""The ten networks have the parameters and the arithmetic that are published for them, in the layout and in torch alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engines.train.networks.cost import Ceiling, costs, floor_ms
from engines.train.networks.layout import NETS, layout
from engines.train.networks.yolov5 import Yolov5

PUBLISHED = {
    "n": (1.9, 4.5), "s": (7.2, 16.5), "m": (21.2, 49.0), "l": (46.5, 109.1), "x": (86.7, 205.7),
    "n6": (3.2, 4.6), "s6": (12.6, 16.8), "m6": (35.7, 50.0), "l6": (76.8, 111.4), "x6": (140.7, 209.8),
}  # fmt: skip
"""Millions of parameters, GFLOP at 640 px: github.com/ultralytics/yolov5, README of release 6.0."""
SHARE = 0.015


@pytest.mark.parametrize("net", NETS)
def test_the_published_counts(net: str) -> None:
    passes = costs(layout(net), 640)
    parameters, gflop = PUBLISHED[net]
    assert sum(one.parameters for one in passes) / 1e6 == pytest.approx(parameters, rel=SHARE)
    assert sum(one.flop for one in passes) / 1e9 == pytest.approx(gflop, rel=SHARE)


@pytest.mark.parametrize("net", NETS)
def test_torch_has_what_was_counted(net: str) -> None:
    with torch.device("meta"):
        network = Yolov5(layout(net))
        flop = 0

        def count(module: nn.Conv2d, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
            nonlocal flop
            flop += 2 * module.weight.numel() * out.shape[2] * out.shape[3]

        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        outputs = network.eval()(torch.zeros(1, 3, 640, 640))
    passes = costs(layout(net), 640)
    assert sum(value.numel() for value in network.parameters()) == sum(one.parameters for one in passes)
    assert flop == sum(one.flop for one in passes)
    assert [tuple(out.shape) for out in outputs] == [(1, 3, 640 // s, 640 // s, 85) for s in layout(net).strides]


def test_what_moves_is_what_a_fused_engine_moves() -> None:
    """By hand: the first layer of n at 640 px reads 3 × 640² and writes 16 × 320²."""
    first = costs(layout("n"), 640)[0]
    assert first.moved == 3 * 640**2 + 16 * 320**2
    assert first.weights == 6 * 6 * 3 * 16


def test_the_floor_is_the_longer_of_arithmetic_and_memory() -> None:
    passes = costs(layout("s6"), 1280)
    assert floor_ms(passes, Ceiling(790e12, 4.3e12), 32) == pytest.approx(0.146, abs=0.001)
    all_flop, all_bytes = floor_ms(passes, Ceiling(790e12, 1e30), 32), floor_ms(passes, Ceiling(1e30, 4.3e12), 32)
    assert all_flop == pytest.approx(0.085, abs=0.001)
    assert all_bytes == pytest.approx(0.124, abs=0.001)


def test_an_unknown_net() -> None:
    with pytest.raises(ValueError, match="no net 'z': one of n, s, m"):
        layout("z")
