"""A YOLOv5 network in torch, as `layout.py` describes it."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.train.networks.layout import ANCHORS, CLASSES, Layout, Row, layout

NORM_EPS, NORM_MOMENTUM = 1e-3, 0.03
POOL: Final = 5
OUTPUT_DEVIATION: Final = 2.0
"""Of a head's logits on noise, in a network with random weights: scores on both sides of every threshold."""
OBJECTNESS_SHARE, OBJECTNESS_SHIFT = 0.5, -4.5
"""Objectness varies half as much and is low: about as many boxes exceed a threshold as in photographs."""
CONTRAST, NORM_SHIFT = 2.0, 2.0


class Conv(nn.Module):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, NORM_EPS, NORM_MOMENTUM)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.narrow, self.wide, self.shortcut = Conv(channels, channels), Conv(channels, channels, 3), shortcut

    def forward(self, x: Tensor) -> Tensor:
        out = self.wide(self.narrow(x))
        return x + out if self.shortcut else out


class Csp(nn.Module):
    """Half the channels go through the bottlenecks, half past them."""

    def __init__(self, inputs: int, row: Row) -> None:
        super().__init__()
        half = row.channels // 2
        self.into, self.past = Conv(inputs, half), Conv(inputs, half)
        self.blocks = nn.Sequential(*(Bottleneck(half, row.shortcut) for _ in range(row.repeats)))
        self.out = Conv(2 * half, row.channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.cat((self.blocks(self.into(x)), self.past(x)), 1))


class Pool(nn.Module):
    """Three 5 × 5 max pools in a row see 5, 9 and 13 cells."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.into, self.out = Conv(inputs, inputs // 2), Conv(2 * inputs, outputs)
        self.pool = nn.MaxPool2d(POOL, 1, POOL // 2)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.into(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        return self.out(torch.cat(maps, 1))


class Yolov5(nn.Module):
    """Pictures (n, 3, h, w) RGB of 0–1 → for each stride logits (n, 3, h / s, w / s, 5 + classes): the form that
    `engines/detect/families/yolov5.py: decode_maps` reads. In channels-last memory that is a view of the convolution's output.
    """

    def __init__(self, network: Layout, classes: int = CLASSES) -> None:
        super().__init__()
        self.layout, self.values = network, 5 + classes
        channels: list[int] = []
        self.rows = nn.ModuleList()
        for number, row in enumerate(network.rows):
            taken = [channels[number - 1 if source == -1 else source] for source in row.takes] if number else [3]
            self.rows.append(_module(row, taken[0]))
            channels.append(sum(taken) if row.kind == "join" else row.channels or taken[0])
        self.heads = nn.ModuleList(nn.Conv2d(channels[row], ANCHORS * self.values, 1) for row in network.heads)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        kept: list[Tensor] = []
        for row, module in zip(self.layout.rows, self.rows, strict=True):
            taken = [kept[source] for source in row.takes] if kept else [x]
            kept.append(torch.cat(taken, 1) if row.kind == "join" else module(taken[0]))
        return tuple(self._split(head(kept[row])) for head, row in zip(self.heads, self.layout.heads, strict=True))

    def _split(self, maps: Tensor) -> Tensor:
        n, _, rows, columns = maps.shape
        return maps.view(n, ANCHORS, self.values, rows, columns).permute(0, 1, 3, 4, 2)


def _module(row: Row, inputs: int) -> nn.Module:
    match row.kind:
        case "conv":
            return _first(row) if row.kernel == 6 else Conv(inputs, row.channels, row.kernel, row.stride)
        case "csp":
            return Csp(inputs, row)
        case "pool":
            return Pool(inputs, row.channels)
        case "up":
            return nn.Upsample(scale_factor=2, mode="nearest")
        case "join":
            return nn.Identity()


def _first(row: Row) -> Conv:
    stem = Conv(3, row.channels, row.kernel, row.stride)
    stem.conv.padding = (2, 2)
    return stem


def random_network(net: str, classes: int = CLASSES, seed: int = 0) -> Yolov5:
    """One of `NETS` with random weights that keep the size of what passes through them, as trained ones do: what costs time is
    the same, and half precision neither overflows nor vanishes. On noise some scores exceed any threshold.

    Raises:
        ValueError: there is no such net.
    """
    network = Yolov5(layout(net), classes).eval()
    draw = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            if module.bias is not None:
                module.bias.data.zero_()
    _settle(network, draw)
    return network


@torch.no_grad()
def _settle(network: Yolov5, draw: torch.Generator) -> None:
    """Set the statistics of each normalisation, and the heads' scale, by what passes on a few pictures. A shift keeps most values
    where SiLU is nearly straight: without it a deep random network magnifies every rounding."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(_take_statistics) for norm in norms]
    outputs = network(clouds(2, 4 * network.layout.strides[-1], draw))
    for hook in hooks:
        hook.remove()
    for head, output in zip(network.heads, outputs, strict=True):
        assert isinstance(head, nn.Conv2d)
        assert head.bias is not None
        raw = output - output.mean((0, 2, 3), keepdim=True)
        scale = OUTPUT_DEVIATION / raw.std()
        head.weight *= scale
        head.bias.copy_(-scale * output.mean((0, 2, 3)).flatten())
        head.weight.view(ANCHORS, network.values, -1)[:, 4] *= OBJECTNESS_SHARE
        objectness = head.bias.view(ANCHORS, network.values)[:, 4]
        objectness.mul_(OBJECTNESS_SHARE).add_(OBJECTNESS_SHIFT)


def _take_statistics(norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
    assert norm.running_var is not None
    assert norm.running_mean is not None
    norm.running_var.copy_(given[0].var((0, 2, 3)))
    norm.running_mean.copy_(given[0].mean((0, 2, 3)))
    norm.bias.data.fill_(NORM_SHIFT)


def clouds(count: int, side: int, draw: torch.Generator) -> Tensor:
    """Pictures (count, 3, side, side) of 0–1 with detail of every size, as photographs have."""
    picture = torch.zeros(count, 3, side, side)
    cells = 1
    while cells <= side:
        noise = torch.rand(count, 3, cells, cells, generator=draw)
        picture += nn.functional.interpolate(noise, (side, side), mode="bilinear")
        cells *= 2
    return ((picture / math.log2(2 * side) - 0.5) * CONTRAST + 0.5).clamp(0, 1)


def fuse(network: Yolov5) -> Yolov5:
    """`network`, changed: every batch normalisation folded into its convolution."""
    for module in list(network.modules()):
        if isinstance(module, Conv) and isinstance(module.norm, nn.BatchNorm2d):
            fused: Any = fuse_conv_bn_eval(module.conv, module.norm)
            module.conv, module.norm = fused, nn.Identity()
    return network
