"""A video of people who stand still, and a network that knows one of them by name."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from engines.detect.letterbox import Letterbox
from engines.scene.demo import demo_scene
from tests.client.command import run
from tests.onnx_made import yolov8

WIDTH, HEIGHT, FRAMES, NET = 640, 480, 36, 64
Box = list[float]


def write_still(path: Path) -> list[Box]:
    """FRAMES times the same picture; returns the faces in it, the largest last."""
    planes, faces = demo_scene(WIDTH, HEIGHT).render(0.0)
    picture = np.zeros((HEIGHT * 3 // 2, WIDTH), np.uint8)
    picture[:HEIGHT] = planes[0]
    picture[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)[:] = planes[1:]
    with av.open(str(path), "w") as box:
        stream = box.add_stream("libx264", rate=30, options={"crf": "12", "preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(FRAMES):
            box.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")))
        box.mux(stream.encode(None))
    boxes = [[float(side) for side in face.xyxy_px] for face in faces if not face.ignore]
    return sorted(boxes, key=lambda face: face[2] - face[0])


def add_band(box: Box, folder: Path) -> None:
    """The network `band`, which says of that face that it is ada's; it knows bea too."""
    letterbox = Letterbox.within(WIDTH, HEIGHT, NET, NET, stretched=False)
    zero, one = letterbox.to_frame(np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32))
    file = folder / "band.onnx"
    file.write_bytes(yolov8([((np.array(box) - zero) / (one - zero)).tolist()], [0], ["ada", "bea"], NET))
    assert run("models", "add", file, "--name", "band", "--members") == 0


def spread(luma: np.ndarray, box: Box) -> float:
    """How much there is to be seen in the middle of a face."""
    x0, y0, x1, y1 = (round(side) for side in box)
    return float(luma[(3 * y0 + y1) // 4 : (y0 + 3 * y1) // 4, (3 * x0 + x1) // 4 : (x0 + 3 * x1) // 4].std())
