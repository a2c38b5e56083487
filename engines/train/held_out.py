"""Average precision on a few labelled pictures that a run does not learn: what it is worth, beside what it lost."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch

from engines.detect.families.fancam_face import decode
from engines.detect.nms import suppress
from engines.track.associate import overlaps
from engines.train.data import Entry, Picture, fitted_planes, load_picture
from engines.train.network import FaceNet

ONE_IN = 64
SIDE_PX = 320
LEAST_SCORE, SAME_FACE = 0.02, 0.5


def split(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Entries to learn, and about one in `ONE_IN` to keep out: which ones, their files' names decide for good."""
    kept = [zlib.crc32(entry.file.name.encode()) % ONE_IN == 0 for entry in entries]
    return [e for e, out in zip(entries, kept, strict=True) if not out], [
        e for e, out in zip(entries, kept, strict=True) if out
    ]


class HeldOut:
    """Pictures kept out of a run, and how many faces are to be found in them."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.pictures = [load_picture(entry) for entry in entries]
        self.faces = sum(int((~picture.ignore).sum()) for picture in self.pictures)

    def average_precision(self, network: FaceNet) -> float:
        """AP@.5 at `SIDE_PX`: the area under the envelope of precision over recall. There must be `faces`."""
        looks = [self._look(network, picture) for picture in self.pictures]
        scores = np.concatenate([scores for scores, _ in looks])
        right = np.concatenate([right for _, right in looks])[np.argsort(-scores, kind="stable")]
        hits = np.cumsum(right)
        precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
        return float((precision * right).sum() / self.faces)

    @staticmethod
    @torch.inference_mode()
    def _look(network: FaceNet, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
        y, uv = fitted_planes(picture, SIDE_PX)
        scale = SIDE_PX / max(picture.pixels.shape[:2])
        device = next(network.parameters()).device
        maps = network(torch.from_numpy(y).to(device), torch.from_numpy(uv).to(device))
        found = decode([m.float().cpu().numpy() for m in maps], LEAST_SCORE, (SIDE_PX, SIDE_PX))
        kept = suppress(found.boxes, found.scores)
        return judged(found.boxes[kept] / scale, found.scores[kept], picture)


def judged(boxes: np.ndarray, scores: np.ndarray, picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Scores and rightness of the boxes [n,4], best first, that count; those on ignore regions count neither way."""
    shared = overlaps(boxes.astype(float), picture.boxes.astype(float))
    free, counts, right = ~picture.ignore, np.ones(len(boxes), bool), np.zeros(len(boxes), bool)
    for row, overlap in enumerate(shared):
        mine = np.where(free, overlap, 0.0)
        if mine.max(initial=0) >= SAME_FACE:
            right[row], free[mine.argmax()] = True, False
        else:
            counts[row] = not _ignored(boxes[row], picture.boxes[picture.ignore])
    return scores[counts], right[counts]


def _ignored(box: np.ndarray, regions: np.ndarray) -> bool:
    sides = np.minimum(box[2:], regions[:, 2:]) - np.maximum(box[:2], regions[:, :2])
    return bool((np.prod(np.clip(sides, 0, None), 1) >= 0.5 * np.prod(box[2:] - box[:2])).any())
