"""The default face network: a dense, ReLU-only detector of 0.95 M parameters that reads Y and UV planes."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
#: Channels of a head: score logit, distances left top right bottom, five landmarks as x, y.
OUTPUTS = 15
#: Bounds of a distance before exp: .018 to 148 strides.
DISTANCE_MIN, DISTANCE_MAX = -4.0, 5.0

STEM_CHANNELS, EARLY_CHANNELS = 8, 16
STAGE_CHANNELS, STAGE_BLOCKS = (32, 64, 96), (2, 3, 3)
NECK_CHANNELS = 32
SCORE_BIAS, DISTANCE_BIAS, LAST_SIGMA = -4.6, 0.5, 0.01


def _conv_bn(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class Stem(nn.Module):
    """Y at full size and UV at half size, summed at half size: no colour conversion, no copy."""

    def __init__(self) -> None:
        super().__init__()
        self.luma = nn.Conv2d(1, STEM_CHANNELS, 3, 2, 1, bias=False)
        self.chroma = nn.Conv2d(2, STEM_CHANNELS, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(STEM_CHANNELS)

    def forward(self, y: Tensor, uv: Tensor) -> Tensor:
        return F.relu(self.norm(self.luma(y.float() / 128 - 1) + self.chroma(uv.float() / 128 - 1)))


class Residual(nn.Module):
    """Two dense 3x3 convolutions and the input added (He et al., 2016).

    At first it gives what it is given (after a ReLU): its last scale is 0 (Goyal et al., 2017).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv_bn(channels, channels)
        self.second = _conv_bn(channels, channels)
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Head(nn.Module):
    """One level's outputs from one level of the neck."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = _conv_bn(NECK_CHANNELS, NECK_CHANNELS)
        self.last = nn.Conv2d(NECK_CHANNELS, OUTPUTS, 1)
        nn.init.normal_(self.last.weight, std=LAST_SIGMA)
        with torch.no_grad():
            bias = self.last.bias
            assert bias is not None
            bias.zero_()
            bias[0] = SCORE_BIAS
            bias[1:5] = DISTANCE_BIAS

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.hidden(x)))


class FaceNet(nn.Module):
    """Planes in, one map of `OUTPUTS` channels per stride out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Stem()
        self.early = _conv_bn(STEM_CHANNELS, EARLY_CHANNELS, 2)
        inputs = (EARLY_CHANNELS, *STAGE_CHANNELS[:-1])
        self.downs = nn.ModuleList(_conv_bn(a, b, 2) for a, b in zip(inputs, STAGE_CHANNELS, strict=True))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Residual(c) for _ in range(n))) for c, n in zip(STAGE_CHANNELS, STAGE_BLOCKS, strict=True)
        )
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, NECK_CHANNELS, 1, bias=False), nn.BatchNorm2d(NECK_CHANNELS))
            for c in STAGE_CHANNELS
        )
        self.smooths = nn.ModuleList(_conv_bn(NECK_CHANNELS, NECK_CHANNELS) for _ in STAGE_CHANNELS)
        self.refines = nn.ModuleList(Residual(NECK_CHANNELS) for _ in STAGE_CHANNELS)
        self.heads = nn.ModuleList(Head() for _ in STAGE_CHANNELS)

    def forward(self, y: Tensor, uv: Tensor) -> tuple[Tensor, ...]:
        """`y` uint8 [n,1,h,w], `uv` uint8 [n,2,h/2,w/2], h and w multiples of 32; returns [n,15,h/s,w/s] for s in `STRIDES`."""
        x = F.relu(self.early(self.stem(y, uv)))
        levels = []
        for down, stage, lateral in zip(self.downs, self.stages, self.laterals, strict=True):
            x = stage(F.relu(down(x)))
            levels.append(F.relu(lateral(x)))
        for i in (1, 0):
            levels[i] = levels[i] + F.interpolate(levels[i + 1], scale_factor=2.0, mode="nearest")
        parts = zip(self.heads, self.refines, self.smooths, levels, strict=True)
        return tuple(head(refine(F.relu(smooth(level)))) for head, refine, smooth, level in parts)

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Take the weights of a network of this kind, or of one with fewer residual blocks: those missing change nothing yet.

        Raises:
            ValueError: the weights are of another kind of network.
        """
        blocks = tuple(f"{name}." for name, module in self.named_modules() if isinstance(module, Residual))
        needed = {name for name in self.state_dict() if not name.startswith(blocks)}
        known = self.state_dict()
        wrong = sorted(needed - state.keys()) + [
            n for n, v in state.items() if n not in known or v.shape != known[n].shape
        ]
        if wrong:
            raise ValueError(f"weights of another network: {wrong[0]}")
        self.load_state_dict(state, strict=False)


def places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Centres [p,2] (x, y in pixels) and strides [p] of all places of a picture, level after level, row after row."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        centres.append((torch.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((centres[-1].shape[0],), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def flatten(maps: tuple[Tensor, ...]) -> Tensor:
    """Maps [n,15,h,w] of all levels as one float32 [n,p,15], in the order of `places`."""
    return torch.cat([m.float().flatten(2).transpose(1, 2) for m in maps], 1)


def decode_boxes(distances: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Boxes xyxy [...,4] in pixels from raw distances [...,4] at places [...,2], [...]."""
    d = distances.clamp(DISTANCE_MIN, DISTANCE_MAX).exp() * strides[..., None]
    return torch.cat([centres - d[..., :2], centres + d[..., 2:]], -1)


def decode_landmarks(values: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Landmarks [...,5,2] in pixels from raw values [...,10]."""
    return values.unflatten(-1, (5, 2)) * strides[..., None, None] + centres[..., None, :]
