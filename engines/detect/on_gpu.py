"""What of a detector's work a GPU does itself: frames are laid out there, and where its kernels know the outputs, boxes found."""

from __future__ import annotations

from engines.detect.families import Family, Look
from engines.runtimes import kernels
from engines.runtimes.kernels.ends import Ends


def ends_of(family: Family, conf: float, classes: int) -> Ends:
    """For a network of `family` that tells so many classes apart; scores from `conf` on are kept."""
    known = family.iou is not None and classes <= kernels.MOST_CLASSES
    look = None if family.look is None else look_of(family.look)
    return Ends(look, family.form if known else None, conf, family.iou or 0.0)


def look_of(look: Look) -> kernels.Look:
    """As the kernels take it."""
    pairs = list(zip(look.mean, look.std, strict=True))
    return kernels.Look(
        tuple(1 / std for _, std in pairs),
        tuple(-mean / std for mean, std in pairs),
        tuple((look.pad - mean) / std for mean, std in pairs),
        look.channels == "bgr",
    )
