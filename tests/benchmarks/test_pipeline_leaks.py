"""The search for known faces in the redacted feed: it finds what is not covered, and finds nothing where all is."""

from __future__ import annotations

import pytest

from benchmarks.pipeline_leaks import make_clips, try_fault
from benchmarks.rig import Clip
from engines.render.redact import Redactor


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return make_clips()


def test_with_covering_left_out_the_search_finds_nearly_every_face(
    clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Redactor, "_paint", lambda *_: None)
    count = try_fault("none", clips, 2.0)
    assert count.faces > 80
    assert count.leaks >= 0.99 * count.faces


@pytest.mark.parametrize("fault", ["none", "cuts and changes of size", "damaged frames", "first frames"])
def test_no_known_face_leaves_uncovered(clips: list[Clip], fault: str) -> None:
    count = try_fault(fault, clips, 3.0)
    assert count.faces > 50
    assert count.leaks == 0
