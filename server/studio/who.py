"""Who is covered in one stream, as its policy says and as far as the model can tell people apart; in doubt everyone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engines.pipeline import Pipeline
from engines.policy import Cover, parse_cover
from engines.track.recognise import Recogniser

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exemptions:
    """`shown`: the members (their numbers in `Tracks.members`) who are not covered while they are surely themselves;
    `others_covered`: in a fancam all are covered but the one it follows."""

    shown: frozenset[int] = frozenset()
    others_covered: bool = False


class Who:
    """Keeps the exemptions in force, and the pipeline's recogniser where the model knows members. Other threads may read `now`,
    which is replaced with every change."""

    def __init__(self, name: str, pipeline: Pipeline, members: Sequence[str]) -> None:
        """`members`: whom the model tells apart by name."""
        self.now = Exemptions()
        self._name, self._pipeline, self._members = name, pipeline, tuple(members)
        self._cover = Cover()
        self._begin()

    def _begin(self) -> None:
        """Nobody is known yet."""
        self._pipeline.recogniser = Recogniser(self._members) if self._members else None

    def set_policy(self, policy: dict[str, Any]) -> None:
        """Take over what the policy states of it; what nobody understands covers everyone."""
        others_covered = policy["fancams"] != "show all" if "fancams" in policy else self.now.others_covered
        try:
            self._cover = parse_cover(policy["cover"]) if "cover" in policy else self._cover
        except ValueError as error:
            logger.warning("%s: %s: everyone is covered", self._name, error)
            self._cover = Cover()
        shown = self._cover.shown(self._members)
        before, self.now = self.now, Exemptions(shown, others_covered)
        if shown != before.shown:  # what was known of them is forgotten, and has to be seen anew
            self._begin()
