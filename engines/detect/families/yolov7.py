"""YOLOv7: YOLOv5's head with anchors of its own on three levels; decoded exports and four levels are YOLOv5's (yolov5.py).

Source: Wang et al., arXiv 2207.02696; github.com/WongKinYiu/yolov7, cfg/deploy/yolov7.yaml.
"""

from __future__ import annotations

from typing import Final

from engines.detect.families.yolov5 import P5, Anchors, maps_family

ANCHORS: Final[Anchors] = (
    ((12, 16), (19, 36), (40, 28)),
    ((36, 75), (76, 55), (72, 146)),
    ((142, 110), (192, 243), (459, 401)),
)

FAMILIES: Final = (maps_family("yolov7", P5, ANCHORS),)
