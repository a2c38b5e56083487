"""The detector: frames in, complete detections out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.detect.families import Found, Look, class_names, family_of
from engines.detect.families.family import no_landmarks
from engines.detect.letterbox import Letterbox
from engines.detect.nms import suppress
from engines.detect.on_gpu import ends_of
from engines.detect.picture import PictureInput
from engines.frame import F32, Detections, Frame
from engines.models import default_face_model
from engines.models.networks import FACES
from engines.runtimes import (
    GPU_KINDS,
    KINDS,
    Precision,
    Runtime,
    RuntimeFailure,
    RuntimeKind,
    available,
    best_precision,
    open_runtime,
    read_signature,
    trouble,
)
from engines.runtimes.kernels.ends import Kept

DEFAULT_LONG_SIDE: Final = 640
LEAST_SCORE: Final = 0.1
"""Scores from here on are kept: the tracker and the redactor know what to make of low ones."""
MOST_SCORE: Final = 1.1
"""Halves and int8 come to a little over 1."""
SHAPES_KEPT: Final = 8


class Ready(NamedTuple):
    """A network compiled for one size, and how a frame gets into each of its slots."""

    runtime: Runtime
    fill: list[Callable[[Frame, Letterbox], None]]


def filling(runtime: Any, look: Look | None) -> list[Callable[[Frame, Letterbox], None]]:
    """How a frame gets into each of a runtime's slots: on a GPU that lays frames out itself it is only handed over."""
    if runtime.ends is None:
        return [_filling(slot, look) for slot in runtime.slots]

    def placing(number: int) -> Callable[[Frame, Letterbox], None]:
        return lambda frame, box: runtime.place(number, frame, box.inner_w, box.inner_h)

    return [placing(number) for number in range(len(runtime.slots))]


def _filling(slot: Mapping[str, NDArray[Any]], look: Look | None) -> Callable[[Frame, Letterbox], None]:
    if look is None:
        y, uv = slot["y"][0], slot["uv"]
        return lambda frame, letterbox: letterbox.fill(frame, y, uv)
    (target,) = slot.values()
    return PictureInput(target, look).fill


def settled(found: Found, iou: float | None, classes: int) -> Found:
    """One box a thing, best first, without a broken network's boxes that are no numbers, and classes that there are not."""
    # As unsigned numbers, negative classes are too large as well.
    which = found.classes.view(np.uint32)
    if which.max(initial=0) >= classes or not np.isfinite(found.boxes.sum()):
        found = found.at(np.flatnonzero((which < classes) & np.isfinite(found.boxes).all(axis=1)))
    if iou is None:
        kept = np.argsort(-found.scores, kind="stable")
    else:
        kept = suppress(found.boxes, found.scores, iou, found.classes if classes > 1 else None)
    return found.at(kept)


class Detector:
    """One thread's detector: a compiled network per letterbox shape in use."""

    def __init__(
        self,
        model: Path,
        kind: RuntimeKind,
        precision: Precision,
        long_side: int,
        threads: int,
        conf: float,
        family: str | None = None,
        names: Sequence[str] = (),
    ) -> None:
        self.model, self.kind, self.precision = model, kind, precision
        self.long_side, self.threads, self.conf = long_side, threads, conf
        signature = read_signature(model, kind)
        self.family = family_of(signature, family)
        self.names = class_names(signature, self.family, names)
        """What the indices in `Detections.classes` mean."""
        self.face_names = tuple(name for name in self.names if name in FACES) or self.names
        """Those that are faces: all of them, where none is called so (a network of members)."""
        self.fixed_size = signature.fixed_size
        self._ready: dict[tuple[int, int], Ready] = {}

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Run the network on each frame: those of one shape together, as many as the runtime takes at once. On a CPU that is one,
        since a batch gains nothing there.

        Raises:
            RuntimeFailure: the network cannot be compiled for a frame's shape.
        """
        boxes = [self.letterbox(frame.width, frame.height) for frame in frames]
        shapes: dict[tuple[int, int], list[int]] = {}
        for number, box in enumerate(boxes):
            shapes.setdefault((box.net_h, box.net_w), []).append(number)
        found: dict[int, Detections] = {}
        for numbers in shapes.values():
            ready = self.prepare(boxes[numbers[0]])
            for start in range(0, len(numbers), len(ready.fill)):
                together = numbers[start : start + len(ready.fill)]
                answers = self._run(ready, [(frames[number], boxes[number]) for number in together])
                found.update(zip(together, answers, strict=True))
        return [found[number] for number in range(len(frames))]

    def _run(self, ready: Ready, batch: Sequence[tuple[Frame, Letterbox]]) -> list[Detections]:
        for fill, (frame, letterbox) in zip(ready.fill, batch, strict=False):
            fill(frame, letterbox)
        if ready.runtime.ends is not None and ready.runtime.ends.form is not None:
            kept = ready.runtime.find(len(batch))  # type: ignore[attr-defined]
            return [self._kept(one, *given) for one, given in zip(kept, batch, strict=True)]
        outputs = ready.runtime.run(len(batch))
        if (
            len(ready.fill) == 1
        ):  # as they are: where a network takes one picture its outputs may have no axis for the batch
            frame, letterbox = batch[0]
            return [self._decoded(list(outputs), frame, letterbox)]
        return [
            self._decoded([output[number : number + 1] for output in outputs], frame, letterbox)
            for number, (frame, letterbox) in enumerate(batch)
        ]

    def _decoded(self, outputs: list[F32], frame: Frame, letterbox: Letterbox) -> Detections:
        found = self.family.decode(outputs, self.conf, (letterbox.net_h, letterbox.net_w))
        whole = not any(np.isnan(output.sum()) for output in outputs) and bool(np.isfinite(found.boxes.sum()))
        return self._detections(settled(found, self.family.iou, len(self.names)), frame, letterbox, whole)

    def _kept(self, kept: Kept, frame: Frame, letterbox: Letterbox) -> Detections:
        """Where there was no room for all, or some were no numbers, what was found is not complete."""
        found = Found(kept.boxes, kept.scores, kept.classes, no_landmarks(len(kept.scores)))
        return self._detections(found, frame, letterbox, kept.all)

    def _detections(self, found: Found, frame: Frame, letterbox: Letterbox, complete: bool) -> Detections:
        """Scores far above 1 are none: a network that was exported without its last sigmoid."""
        complete &= bool(found.scores.max(initial=0) <= MOST_SCORE)
        return Detections(
            letterbox.to_frame(found.boxes), found.scores, found.classes, letterbox.to_frame(found.landmarks),
            frame.rtp_time, frame.width, frame.height, complete=complete,
            names=self.names, face_names=self.face_names,
        )  # fmt: skip

    def letterbox(self, width: int, height: int) -> Letterbox:
        """How a frame of this size is laid into the network's input."""
        if self.fixed_size is None and self.kind not in GPU_KINDS:
            return Letterbox.fit(width, height, self.long_side, self.family.stride)
        # On a GPU a square, so that frames of all shapes go together and few shapes are compiled.
        side = -(-self.long_side // self.family.stride) * self.family.stride
        net_h, net_w = self.fixed_size or (side, side)
        stretched = self.family.look is not None and self.family.look.stretched
        return Letterbox.within(width, height, net_w, net_h, stretched=stretched)

    def prepare(self, letterbox: Letterbox) -> Ready:
        """The network compiled for such frames.

        Raises:
            RuntimeFailure: it cannot be.
        """
        shape = letterbox.net_h, letterbox.net_w
        ready = self._ready.pop(shape, None)
        if ready is None:
            ends = ends_of(self.family, self.conf, len(self.names)) if self.kind in GPU_KINDS else None
            runtime = open_runtime(
                self.model, *shape, kind=self.kind, precision=self.precision, threads=self.threads, ends=ends
            )
            ready = Ready(runtime, filling(runtime, self.family.look))
            while len(self._ready) >= SHAPES_KEPT:
                del self._ready[next(iter(self._ready))]
        self._ready[shape] = ready
        return ready

    def warm_up(self, width: int, height: int) -> None:
        """Compile for frames of this size and run each batch once, so that the first real frame is not late."""
        runtime = self.prepare(self.letterbox(width, height)).runtime
        for batch in runtime.batches:
            runtime.run(batch)

    @property
    def batches(self) -> tuple[int, ...]:
        """How many frames of one shape go together, at the sizes that a run takes as long as; (1,) before the first run."""
        return next((ready.runtime.batches for ready in self._ready.values()), (1,))

    @property
    def files(self) -> tuple[Path, ...]:
        """The networks that run."""
        return (self.model,)

    def describe(self) -> dict[str, Any]:
        """What runs where, for `fancam doctor`, summaries and metrics; the precision is what was asked for until a network
        is compiled, then what it computes in."""
        compiled = next((ready.runtime for ready in self._ready.values()), None)
        return {
            "model": self.model.name,
            "runtime": self.kind,
            "precision": compiled.precision if compiled is not None else self.precision,
            "long_side_px": max(self.fixed_size) if self.fixed_size else self.long_side,
            "threads": self.threads,
        }


def open_detector(
    model: Path | None = None,
    runtime: RuntimeKind | Literal["auto"] = "auto",
    precision: Precision | Literal["auto"] = "auto",
    long_side: int = DEFAULT_LONG_SIDE,
    threads: int = 1,
    conf: float = LEAST_SCORE,
    family: str | None = None,
    names: Sequence[str] = (),
) -> Detector:
    """The default face network on the best runtime here, or what was asked for.

    `precision` "auto" takes int8 or bf16 where the CPU has the instructions; with a `model` of one's own it computes as
    the file says. `conf`: scores from here on are kept. `family`: how its outputs are read, where the file leaves that open;
    `names`: what its classes are called, instead of what the file says.

    Raises:
        RuntimeFailure: no such runtime here, no such model, or one that no family or none for sure can read.
    """
    if runtime == "auto":
        if not available():
            raise RuntimeFailure(f"no runtime here: install one of {', '.join(KINDS)}")
        runtime = available()[0]
    elif runtime in GPU_KINDS:
        if why := trouble(runtime):
            raise RuntimeFailure(why)
    elif runtime not in available():
        raise RuntimeFailure(f"the runtime {runtime} cannot be used here: fancam doctor says why")
    if precision == "auto":
        precision = best_precision(runtime)
        if model is not None and precision == "int8":
            precision = "f32"
    if model is None:
        model = default_face_model("int8" if precision == "int8" else "f32")
    if not model.is_file():
        raise RuntimeFailure(f"no model at {model}")
    return Detector(model, runtime, precision, long_side, threads, conf, family, names)
