"""What Ultralytics itself makes of networks that it exports: random weights, a random picture, its own decoding and suppression.

python ultralytics_boxes.py FOLDER

Writes NAME.onnx and NAME.npz (`picture` (3, 320, 320) float32 RGB 0–1, `rows` (n, 6) x0, y0, x1, y1, score, class, `points` (n, 5, 2) for
faces, `conf`) for each network. Needs the packages ultralytics, torch and onnx, in an environment of their own.
"""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

os.environ["YOLO_AUTOINSTALL"] = "0"
os.environ["YOLO_OFFLINE"] = "1"

from ultralytics import RTDETR, YOLO
from ultralytics.utils import YAML

SIDE = 320
KEPT = 200
IOU = 0.45
NETWORKS = {
    "yolov8n": {},
    "yolo11n": {},
    "yolov8n-p6": {},
    "yolov8n-pose": {},
    "yolov10n": {"nms": False},
    "yolo26n": {"nms": False},
    "rtdetr-l": {},
}


def make(name: str, folder: Path) -> YOLO | RTDETR:
    torch.manual_seed(1)
    network = (RTDETR if "rtdetr" in name else YOLO)(f"{name}.yaml")
    if "pose" in name:  # of faces: one class, five points
        path = folder / f"{name}.yaml"
        YAML.save(path, {**network.model.yaml, "kpt_shape": [5, 3], "nc": 1})
        network = YOLO(path)
    awaken(network.model)
    return network


def awaken(model: torch.nn.Module) -> None:
    """Random weights let a signal die on its way: normalise by what random pictures give, and let the classes' biases differ."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear) and module.bias is not None:
            module.bias.data.normal_(-1, 1)
            module.weight.data.normal_(0, 0.5 / module.weight[0].numel() ** 0.5)
    model.train()
    with torch.no_grad():
        model.predict(torch.rand(4, 3, SIDE, SIDE))
    model.eval()


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    for name, options in NETWORKS.items():
        made = Path(make(name, folder).export(format="onnx", imgsz=SIDE, simplify=False, opset=17, **options))
        path = made.replace(folder / f"{name}.onnx")
        chw = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / 255
        (raw,) = ort.InferenceSession(path).run(None, {"images": chw})
        scores = raw[0, :, 4] if raw.shape[2] == 6 else raw[0, 4 : 5 if "pose" in name else None].max(0)
        conf = float(np.sort(scores)[-min(KEPT, len(scores))])
        exported = RTDETR(path) if "rtdetr" in name else YOLO(path, task="pose" if "pose" in name else "detect")
        bgr = np.ascontiguousarray(picture[..., ::-1])
        (result,) = exported.predict(bgr, imgsz=SIDE, conf=conf, iou=IOU, max_det=KEPT, verbose=False)
        more = {} if result.keypoints is None else {"points": result.keypoints.xy.numpy()}
        np.savez(folder / f"{name}.npz", picture=chw[0], rows=result.boxes.data.numpy()[:, :6], conf=conf, **more)
        print(name, raw.shape, f"conf {conf:.3g}", len(result.boxes), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
