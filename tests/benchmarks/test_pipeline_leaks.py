"""The search for known faces in the redacted feed: it finds what is not covered, and finds nothing where all is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.pipeline_leaks import Count, make_clips, try_fault
from benchmarks.rig import Clip
from engines.render.redact import Redactor


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_clips()


def counts(fault: str, clips: list[Clip], seconds: float, faces: int) -> Iterator[Count]:
    """Of runs of a fault until more than so many faces were searched in one: where the machine stands still they are few."""
    for _ in range(3):
        yield (count := try_fault(fault, clips, seconds))
        if count.faces > faces:
            return
    pytest.fail(f"only {count.faces} faces were searched")


def test_with_covering_left_out_the_search_finds_nearly_every_face(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Redactor, "_paint", lambda *_: None)
    for count in counts("none", clips, 2.0, 80):
        assert count.leaks >= 0.99 * count.faces


@pytest.mark.parametrize("fault", ["none", "cuts and changes of size", "damaged frames", "first frames"])
def test_no_known_face_leaves_uncovered(clips: list[Clip], fault: str) -> None:
    for count in counts(fault, clips, 3.0, 50):
        assert count.leaks == 0
