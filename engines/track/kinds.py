"""What is tracked, and how it moves and is found: faces, and whole persons. All lengths are in heights of the box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Four = tuple[float, float, float, float]
"""For centre x, centre y, width, height."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The numbers by which the tracker knows what it follows; scores are the detector's."""

    name: str
    learnt: bool
    """Whether pairs are weighed by the network of the file of that name, beside this module, else by likelihood alone."""
    velocity_life_s: Four
    speed_heights_per_s: Four
    noise_heights: Four
    noise_of_doubt_heights: Four
    """What score 0 adds, falling with the square of what is missing to 1: a face that slips behind somebody is found by what
    is left of it, with a low score, in a box that moves and shrinks as the face does not."""
    high_score: float
    """Detections from here on choose their track first, and count towards its confirmation."""
    birth_score: float
    """Detections from here on may begin a track: below `high_score` a faint one, for the redactor's sake."""
    same_overlap: float
    """A detection that overlaps a matched one this much (intersection over union) is the same thing once more."""
    reach_heights: float
    reach_heights_per_s: float
    accept: float
    """Log-odds from which a sure detection may belong to a track ..."""
    accept_low: float
    """... and a doubtful one."""
    low_score_gap_s: float
    low_scores_s: float
    """Low scores may continue a track that was seen within `low_score_gap_s`, and with a high score within `low_scores_s`: what
    is found where a face was lost is mostly not that face, and would lead its track astray."""


FACES: Final = Kind(
    name="faces",
    learnt=False,
    velocity_life_s=(0.5, 0.4, 0.3, 0.3),
    speed_heights_per_s=(1.4, 0.8, 0.35, 0.35),
    noise_heights=(0.04, 0.04, 0.06, 0.06),
    noise_of_doubt_heights=(0.3, 0.3, 0.4, 0.4),
    high_score=0.5,
    birth_score=0.4,
    same_overlap=0.3,
    reach_heights=1.0,
    reach_heights_per_s=2.0,
    accept=-1.0,
    accept_low=4.0,
    low_score_gap_s=0.15,
    low_scores_s=0.5,
)
PERSONS: Final = Kind(
    name="persons",
    learnt=True,
    velocity_life_s=(0.35, 0.35, 0.25, 0.35),
    speed_heights_per_s=(0.5, 0.3, 0.4, 0.25),
    noise_heights=(0.025, 0.025, 0.04, 0.03),
    noise_of_doubt_heights=(0.05, 0.05, 0.08, 0.06),
    high_score=0.6,
    birth_score=0.6,
    same_overlap=0.5,
    reach_heights=1.0,
    reach_heights_per_s=0.8,
    accept=-3.0,
    accept_low=0.0,
    low_score_gap_s=0.5,
    low_scores_s=3.0,
)
KINDS: Final = {kind.name: kind for kind in (FACES, PERSONS)}
