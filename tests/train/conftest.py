"""Most training tests run where torch is installed (`make test-train`), and are not collected elsewhere."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

WITHOUT_TORCH = ("test_formats.py", "test_teach.py", "test_without_torch.py")
if importlib.util.find_spec("torch") is None:
    collect_ignore = [str(file) for file in Path(__file__).parent.rglob("test_*.py") if file.name not in WITHOUT_TORCH]


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label file of eight drawn pictures: bright ellipses with dark eyes and mouths are the faces."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(7)
    lines = []
    for number in range(8):
        picture = np.full((160, 200, 3), rng.integers(20, 90), np.uint8)
        faces = []
        for x in (50, 140):
            width, height = rng.uniform(30, 50), rng.uniform(40, 60)
            middle = np.array([x + rng.uniform(-10, 10), rng.uniform(50, 110)])
            cv2.ellipse(picture, (middle.tolist(), (width, height), 0.0), (170, 190, 220), -1, cv2.LINE_AA)
            points = middle + np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.15, 0.25], [0.15, 0.25]]) * [
                width,
                height,
            ]
            for point in points:
                cv2.circle(picture, point.round().astype(int).tolist(), 2, (20, 20, 60), -1, cv2.LINE_AA)
            half = np.array([width, height]) / 2
            faces.append(
                {
                    "xyxy_px": [*(middle - half), *(middle + half)],
                    "landmarks_px": points.tolist(),
                    "ignore": False,
                    "masked": False,
                }
            )
        cv2.imwrite(str(folder / f"{number}.png"), picture)
        lines.append(json.dumps({"file": f"{number}.png", "width": 200, "height": 160, "faces": faces}))
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path
