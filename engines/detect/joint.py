"""Several networks on the same frame, one table of classes: faces from the first, persons or plates from others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.detect.detector import Detector
from engines.detect.nms import suppress
from engines.frame import Detections, Frame


class JointDetector:
    """Used as a `Detector`. What the first network calls faces are the faces; classes of one name are one class.

    A frame's detections are complete only when every network's are.
    """

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self.detectors = tuple(detectors)
        names = [name for detector in detectors for name in detector.names]
        self.names = tuple(dict.fromkeys(names))
        """What the indices in `Detections.classes` mean."""
        self.face_names = detectors[0].face_names
        self._classes = [
            np.array([self.names.index(name) for name in detector.names], np.int32) for detector in detectors
        ]
        """Per network the joint class of each of its own."""
        self._twice = len(self.names) < len(names)
        """Whether two networks may find the same thing."""

    @property
    def long_side(self) -> int:
        return self.detectors[0].long_side

    @long_side.setter
    def long_side(self, pixels: int) -> None:
        for detector in self.detectors:
            detector.long_side = pixels

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Run every network on each frame.

        Raises:
            RuntimeFailure: a network cannot be compiled for a frame's shape.
        """
        found = [detector.detect(frames) for detector in self.detectors]
        return [self._together(parts) for parts in zip(*found, strict=True)]

    def _together(self, parts: Sequence[Detections]) -> Detections:
        classes: list[NDArray[np.int32]] = [
            table[part.classes] for table, part in zip(self._classes, parts, strict=True)
        ]
        boxes = np.concatenate([part.boxes for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        joint = np.concatenate(classes)
        landmarks = np.concatenate([part.landmarks for part in parts])
        if self._twice:
            kept = suppress(boxes, scores, classes=joint)
            boxes, scores, joint, landmarks = boxes[kept], scores[kept], joint[kept], landmarks[kept]
        return Detections(
            boxes, scores, joint, landmarks, parts[0].rtp_time, parts[0].width, parts[0].height,
            complete=all(part.complete for part in parts), names=self.names, face_names=self.face_names,
        )  # fmt: skip

    def warm_up(self, width: int, height: int) -> None:
        """Compile for frames of this size and run once, so that the first real frame is not late."""
        for detector in self.detectors:
            detector.warm_up(width, height)

    @property
    def batches(self) -> tuple[int, ...]:
        """Those of the network that takes the fewest frames at once."""
        return min((detector.batches for detector in self.detectors), key=lambda batches: batches[-1])

    @property
    def files(self) -> tuple[Path, ...]:
        """The networks that run."""
        return tuple(path for detector in self.detectors for path in detector.files)

    def describe(self) -> dict[str, Any]:
        """The first network's description, and the others' beside it."""
        first, *others = (detector.describe() for detector in self.detectors)
        return {**first, "beside": [other["model"] for other in others]}
