"""A detector on a runtime that takes several pictures at once finds in each what it finds in it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.detect import detector as module
from engines.detect.detector import Detector, open_detector
from engines.frame import F32, Frame
from engines.runtimes import RuntimeFailure, batch_for, open_runtime
from engines.runtimes.onnxruntime import OnnxRuntime
from engines.scene.scene import random_scene

SIZES = ((640, 480), (640, 360), (1280, 960), (320, 180), (640, 480), (640, 480), (640, 480))
"""Two shapes of the network's input; five frames of the first."""


class ManyAtOnce:
    """A runtime of four slots, as on a GPU, that computes one after the other on the CPU."""

    batches = (1, 4)
    ends = None
    precision = "f32"

    def __init__(self, single: OnnxRuntime) -> None:
        self._single = single
        self.slots = [{name: np.zeros_like(values) for name, values in single.inputs.items()} for _ in range(4)]
        self.runs: list[int] = []

    def run(self, count: int = 1) -> list[F32]:
        assert count <= batch_for(count, self.batches)
        self.runs.append(count)
        given = []
        for slot in self.slots[:count]:
            for name, values in slot.items():
                self._single.inputs[name][:] = values
            given.append([output.copy() for output in self._single.run()])
        return [np.concatenate(outputs) for outputs in zip(*given, strict=True)]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> tuple[Detector, list[ManyAtOnce]]:
    opened: list[ManyAtOnce] = []

    def opening(model: Path, height: int, width: int, **wishes: Any) -> ManyAtOnce:
        opened.append(ManyAtOnce(open_runtime(model, height, width, **wishes)))  # type: ignore[arg-type]
        return opened[-1]

    detector = open_detector(runtime="onnxruntime", precision="f32", conf=0.3)
    monkeypatch.setattr(module, "open_runtime", opening)
    return detector, opened


def test_frames_of_one_shape_go_together_and_keep_their_order(many: tuple[Detector, list[ManyAtOnce]]) -> None:
    detector, opened = many
    frames = [
        Frame(*random_scene(seed, *size, performers=2, face_px=(40, 120)).planes(0.5), seed, 0)
        for seed, size in enumerate(SIZES)
    ]
    together = detector.detect(frames)
    assert [runtime.runs for runtime in opened] == [[4, 1], [2]]
    assert detector.batches == (1, 4)
    single = open_detector(runtime="onnxruntime", precision="f32", conf=0.3)
    assert sum(len(found.boxes) for found in together) > 5
    for frame, found in zip(frames, together, strict=True):
        (alone,) = single.detect([frame])
        assert found.belong_to(frame)
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)


def test_every_batch_is_run_once_to_warm_up(many: tuple[Detector, list[ManyAtOnce]]) -> None:
    detector, opened = many
    detector.warm_up(640, 480)
    assert [runtime.runs for runtime in opened] == [[1, 4]]


@pytest.mark.parametrize("kind", ["tensorrt", "torch_cuda"])
def test_a_gpu_runtime_that_cannot_be_used_says_why_in_one_line(kind: Any) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("a GPU is here")
    with pytest.raises(RuntimeFailure) as caught:
        open_detector(runtime=kind)
    assert "\n" not in str(caught.value)
    assert "pip install" in str(caught.value) or "NVIDIA" in str(caught.value)
