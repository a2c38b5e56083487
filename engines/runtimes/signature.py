"""What a network takes and gives, as its file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output; `dtype` as numpy calls it; a side that the file leaves open is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{','.join('?' if side is None else str(side) for side in self.shape)}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """`inputs` as the file declares them; `outputs` for one picture of `size` (height, width): the file's own, or a
    probe's where the file leaves it open. `metadata` is what the exporter wrote beside the graph."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    size: tuple[int, int]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def takes_planes(self) -> bool:
        """Whether it reads a frame's Y and UV planes themselves."""
        return [port.name for port in self.inputs] == ["y", "uv"]

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width of the only pictures it takes, or None when it takes any."""
        height, width = self.inputs[0].shape[-2:]
        return None if height is None or width is None else (height, width)


def declared_size(inputs: tuple[Port, ...], otherwise: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a network's pictures, with `otherwise` for sides that are open."""
    height, width = inputs[0].shape[-2:] if inputs and len(inputs[0].shape) == 4 else (None, None)
    return height or otherwise[0], width or otherwise[1]


def input_shapes(inputs: tuple[Port, ...], height: int, width: int, *, half: bool = False) -> dict[str, Shape]:
    """The whole shape of each input for one picture of `height` × `width`; `half`: a picture may be in float16 too.

    Raises:
        ValueError: in one line, why the network does not take such a picture.
    """
    if [port.name for port in inputs] == ["y", "uv"]:
        wanted: dict[str, Shape] = {"y": (1, 1, height, width), "uv": (1, 2, height // 2, width // 2)}
        dtype = "uint8"
    elif len(inputs) == 1:
        wanted = {inputs[0].name: (1, 3, height, width)}
        dtype = "float16" if half and inputs[0].dtype == "float16" else "float32"
    else:
        raise ValueError(
            f"a network takes y and uv or one picture, this one {', '.join(map(str, inputs)) or 'nothing'}"
        )
    for port in inputs:
        shape = wanted[port.name]
        fits = len(port.shape) == 4 and all(has in (None, side) for has, side in zip(port.shape, shape, strict=True))
        if not fits or port.dtype != dtype:
            raise ValueError(f"expected an input {Port(port.name, dtype, shape)}, it takes {port}")
    return wanted
