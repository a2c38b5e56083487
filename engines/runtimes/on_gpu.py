"""What both runtimes of a GPU share: a batch goes through in parts, whose ends may be `kernels/ends.py`'s."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from engines.frame import Frame
from engines.runtimes import batch_for
from engines.runtimes.kernels.ends import BoxesOut, Ends, FramesIn, Kept

Part = tuple[str, Callable[[], object]]
"""Its stage (pre, infer, nms, copy), and what adds it to the stream."""


class OnGpu(ABC):
    """`ends` None: the caller fills `slots`, and `run` gives the network's outputs."""

    batches: tuple[int, ...]
    ends: Ends | None
    _frames: FramesIn | None = None
    _boxes: BoxesOut | None = None

    @abstractmethod
    def _context(self) -> AbstractContextManager[object]:
        """In which the GPU is called."""

    @abstractmethod
    def _wait(self) -> None:
        """For all that was added to the stream."""

    @abstractmethod
    def _parts(self, count: int, batch: int) -> Iterator[Part]:
        """Of `count` pictures in a batch of that size."""

    def place(self, number: int, frame: Frame, inner_w: int, inner_h: int) -> None:
        """With `ends`: frame `number` of the next batch, to lie at the top left of its picture, `inner_w` × `inner_h` px."""
        assert self._frames is not None
        with self._context():
            self._frames.place(number, frame, inner_w, inner_h)

    def find(self, count: int = 1) -> list[Kept]:
        """With `ends.form`: the boxes in the first `count` pictures.

        Raises:
            ValueError: more than go together.
        """
        self._go(count)
        assert self._boxes is not None  # made with the first batch
        return self._boxes.kept(count)

    def _go(self, count: int) -> None:
        batch = batch_for(count, self.batches)
        with self._context():
            for _, work in self._parts(count, batch):
                work()
            self._wait()

    def stages(self, count: int) -> dict[str, float]:
        """Seconds of each stage of a batch, each of them waited for by itself, which makes them longer together than they are at once."""
        took = dict.fromkeys(("pre", "infer", "nms", "copy"), 0.0)
        with self._context():
            for stage, work in self._parts(count, batch_for(count, self.batches)):
                began = time.perf_counter()
                work()
                self._wait()
                took[stage] += time.perf_counter() - began
        return took
