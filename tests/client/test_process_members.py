"""`fancam process` with a network that knows somebody by name: she may be seen, and nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from engines.detect.letterbox import Letterbox
from engines.scene.demo import demo_scene
from tests.client.command import run
from tests.onnx_made import yolov8

WIDTH, HEIGHT, FRAMES, NET = 640, 480, 36, 64
Box = list[float]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Box]]:
    """A video of people who stand still, and their faces."""
    planes, faces = demo_scene(WIDTH, HEIGHT).render(0.0)
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    picture = np.zeros((HEIGHT * 3 // 2, WIDTH), np.uint8)
    picture[:HEIGHT] = planes[0]
    picture[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[:] = planes[1:]
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=30, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(FRAMES):
            box.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")))
        box.mux(stream.encode(None))
    return path, [[float(side) for side in face.xyxy_px] for face in faces if not face.ignore]


@pytest.fixture
def ada(still: tuple[Path, list[Box]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """The largest face; the network `band`, beside the built-in one, says of it that it is ada's."""
    box = max(still[1], key=lambda face: face[2] - face[0])
    letterbox = Letterbox.within(WIDTH, HEIGHT, NET, NET, stretched=False)
    zero, one = letterbox.to_frame(np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32))
    seen = (np.array(box) - zero) / (one - zero)
    file = tmp_path / "band.onnx"
    file.write_bytes(yolov8([seen.tolist()], [0], ["ada", "bea"], NET))
    monkeypatch.setenv("FANCAM_MODEL_FOLDER", str(tmp_path / "models"))
    assert run("models", "add", file, "--name", "band", "--members") == 0
    return box


def spread(video: Path, box: Box) -> list[float]:
    """How much there is to be seen in the middle of a face, frame by frame."""
    x0, y0, x1, y1 = (round(side) for side in box)
    part = np.s_[(3 * y0 + y1) // 4 : (y0 + 3 * y1) // 4, (3 * x0 + x1) // 4 : (x0 + 3 * x1) // 4]
    with av.open(str(video)) as source:
        return [float(frame.to_ndarray()[:HEIGHT][part].std()) for frame in source.decode(video=0)]


@pytest.mark.parametrize(
    ("flag", "name", "seen"),
    [("--cover-except", "ada", True), ("--cover-only", "bea", True), ("--cover-only", "ada", False)],
)
def test_a_member_is_seen_once_surely_recognised(
    still: tuple[Path, list[Box]], ada: Box, tmp_path: Path, flag: str, name: str, seen: bool
) -> None:
    video, faces = still
    out, report = tmp_path / "out", tmp_path / "report"
    words = ("--out", out, "--report", report, "--model", "band", flag, name, "--no-fancams")
    assert run("process", video, *words) == 0
    hers = spread(out / "redacted.mp4", ada)
    assert len(hers) == FRAMES
    assert max(hers[:8]) < 3, "nobody is sure at first sight"
    assert (min(hers[15:]) > 12) if seen else (max(hers) < 3)
    for face in faces:
        if face != ada:
            assert max(spread(out / "redacted.mp4", face)) < 12
    told = json.loads((report / "report.json").read_text())
    assert (told["shown"] > 0) == seen
    assert told["made_with"]["cover"] == {flag.removeprefix("--cover-"): [name]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cover-except", "ada"), "the model knows nobody by name"),
        (("--model", "band", "--cover-except", "zoe"), "'zoe': known are ada, bea"),
        (("--model", "band", "--cover-except", "ada", "--cover-only", "bea"), "exclude each other"),
    ],
)
def test_who_cannot_be_told_apart_is_refused_before_anything_is_written(
    still: tuple[Path, list[Box]],
    ada: Box,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert run("process", still[0], "--out", tmp_path / "out", *words) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
