"""The runtimes compute the same network: what one finds, the other finds, to the pixel."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from engines.codecs.decode import to_i420
from engines.detect.detector import open_detector
from engines.frame import Frame
from engines.models import default_face_model
from engines.runtimes import KINDS, RuntimeFailure, available, open_runtime
from engines.scene.scene import random_scene


def test_both_runtimes_are_here() -> None:
    assert available() == KINDS


def assert_agree(frames: list[Frame]) -> None:
    """f32 of both runtimes: the same boxes to a pixel, the same scores to a hundredth."""
    found = [open_detector(runtime=kind, precision="f32", conf=0.3).detect(frames) for kind in KINDS]
    boxes = 0
    for one, other in zip(*found, strict=True):
        # What lies at the threshold may fall on either side of it.
        for these, those in ((one, other), (other, one)):
            for box, score in zip(these.boxes, these.scores, strict=True):
                if score < 0.32:
                    continue
                boxes += 1
                apart = np.abs(those.boxes - box).max(1)
                assert apart.min() <= 1
                assert abs(those.scores[apart.argmin()] - score) < 0.01
    assert boxes > 2 * len(frames)


def test_they_agree_on_drawn_pictures() -> None:
    frames = []
    for seed in range(20):
        planes = random_scene(seed, 640, 480, performers=3, face_px=(40, 160)).planes(0.5)
        frames.append(Frame(*planes, seed, 0))
    assert_agree(frames)


@pytest.mark.slow
def test_they_agree_on_real_pictures(shared: Path) -> None:
    frames: list[Frame] = []
    for name in ("crowd_marathon_1024", "kpop_dance_street_720p", "street_walking_720p", "webcam_signing_480p"):
        with av.open(str(shared / f"data/clips/{name}.mp4")) as box:
            for number, picture in enumerate(box.decode(video=0)):
                if number % 10 == 0:
                    frames.append(Frame.from_video_frame(to_i420(picture), number, 0))
                if number >= 60:
                    break
    assert len(frames) >= 20
    assert_agree(frames)


@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_are_three_maps_and_follow_the_input(kind: str) -> None:
    runtime = open_runtime(default_face_model(), 96, 64, kind=kind)  # type: ignore[arg-type]
    y, uv = runtime.inputs["y"], runtime.inputs["uv"]
    assert (y.shape, uv.shape) == ((1, 96, 64), (2, 48, 32))
    y[:], uv[:] = 40, 128
    first = [output.copy() for output in runtime.run()]
    assert [output.shape for output in first] == [(1, 15, 12, 8), (1, 15, 6, 4), (1, 15, 3, 2)]
    y[:, :48] = 220
    second = runtime.run()
    assert any(np.abs(a - b).max() > 0.1 for a, b in zip(first, second, strict=True))
    y[:] = 40
    for before, again in zip(first, runtime.run(), strict=True):
        np.testing.assert_allclose(again, before, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [None, b"", b"no network"])
def test_what_is_no_model_is_one_line(kind: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RuntimeFailure) as caught:
        open_runtime(path, 64, 64, kind=kind)  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_int8_model_says_so() -> None:
    for kind in KINDS:
        runtime = open_runtime(default_face_model("int8"), 64, 64, kind=kind, precision="int8")
        assert runtime.precision == "int8"
