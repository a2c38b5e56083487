"""What a plan was built from, and the library and the GPU that it was built for: it serves exactly there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Final, Literal

BUILDER: Final = 1
"""Raised whenever `build.py` makes another plan of the same file."""
PlanPrecision = Literal["fp32", "fp16", "int8"]
Bucket = tuple[int, int, int]
"""Least, usual and largest batch of an optimisation profile."""

WORDS: Final = {
    "tensorrt": "the library",
    "driver": "the driver",
    "device": "the GPU",
    "capability": "the compute capability",
    "builder": "the version of Fancam's builder",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a plan runs: `tensorrt` as name and version; `driver`, `device` and `capability` are empty where there was no GPU to
    build for."""

    tensorrt: str
    driver: str = ""
    device: str = ""
    capability: str = ""
    builder: int = BUILDER

    def differences(self, built: Target) -> list[str]:
        """In words, how what a plan was `built` for differs from this."""
        pairs = ((words, getattr(built, name), getattr(self, name)) for name, words in WORDS.items())
        return [f"{words} was {was or 'none'} and is {now or 'none'}" for words, was, now in pairs if was != now]


@dataclass(frozen=True, slots=True)
class Key:
    """`onnx`: sha256 of the file. `precision`: what that file holds. `size`: height and width of the pictures. `buckets`: one
    profile each. The builder's flags are always the same (`build.py`), and are part of `Target.builder`."""

    onnx: str
    precision: PlanPrecision
    size: tuple[int, int]
    buckets: tuple[Bucket, ...]
    level: int
    workspace_mib: int
    target: Target

    def digest(self) -> str:
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def replaces(self, other: Key) -> bool:
        """Whether it takes the other's place: there is one plan of a network and size on a GPU."""
        return (self.onnx, self.size, self.target.device) == (other.onnx, other.size, other.target.device)


def key_of(fields: dict[str, Any]) -> Key:
    """A key read from JSON.

    Raises:
        TypeError, ValueError, KeyError: it is none.
    """
    height, width = fields["size"]
    buckets = tuple((int(least), int(usual), int(most)) for least, usual, most in fields["buckets"])
    parts = {"size": (height, width), "buckets": buckets, "target": Target(**fields["target"])}
    return Key(**{**fields, **parts})


def buckets_of(batches: Sequence[int]) -> tuple[Bucket, ...]:
    """One bucket a batch size, tuned for its largest: 1, 8, 32 → (1, 1, 1), (1, 8, 8), (8, 32, 32).

    Raises:
        ValueError: no size, or one below 1.
    """
    sizes = sorted(set(batches))
    if not sizes or sizes[0] < 1:
        raise ValueError(f"batches are numbers from 1 on, not {list(batches)}")
    return tuple((least, size, size) for least, size in zip([1, *sizes], sizes, strict=False))
