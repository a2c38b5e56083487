"""Tables as MOTChallenge writes them: read whole or refused in one line, written whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from engines.track import mot
from engines.track.follow import follow
from engines.track.kinds import PERSONS


def test_a_table_is_read_in_the_order_of_its_frames(tmp_path: Path) -> None:
    for path, write in ((tmp_path / "a.txt", bytes), (tmp_path / "a.txt.gz", gzip.compress)):
        path.write_bytes(write(b"2,-1,10,20,30,40,0.5\n1,-1,1,2,3,4,0.9\n"))
        table = mot.read(path)
        assert table[:, 0].tolist() == [1, 2]
        assert [len(rows) for _, rows in mot.per_frame(table, 3)] == [1, 1, 0]
        np.testing.assert_allclose(mot.detections(table).boxes[1], (10, 20, 40, 60))
    (tmp_path / "none.txt").write_text("\n")
    assert mot.read(tmp_path / "none.txt").shape == (0, 7)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("words.txt", b"one,two\n", "words.txt"),
        ("short.txt", b"1,-1,2,3\n", "score"),
        ("uneven.txt", b"1,-1,2,3,4,5,.5\n1,2\n", "uneven.txt"),
        ("early.txt", b"0,-1,2,3,4,5,.5\n", "from 1"),
        ("half.txt", b"1.5,-1,2,3,4,5,.5\n", "from 1"),
        ("nan.txt", b"nan,-1,2,3,4,5,.5\n", "from 1"),
        ("late.txt", b"1e12,-1,2,3,4,5,.5\n", "from 1"),
        ("picture.txt", bytes(range(256)), "picture.txt"),
        ("cut.txt.gz", gzip.compress(b"1,-1,2,3,4,5,.5\n" * 100)[:40], "cut.txt.gz"),
        ("plain.txt.gz", b"1,-1,2,3,4,5,.5\n", "plain.txt.gz"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(mot.BadTable, match=said) as refused:
        mot.read(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = np.array([[1, 4, 10.25, 20, 30, 40, 0.5], [2, 4, 11, 20, 30, 40, 0.25]])
    mot.write(tmp_path / "out.txt", rows)
    np.testing.assert_allclose(mot.read(tmp_path / "out.txt")[:, :7], rows)
    with pytest.raises(OSError, match="nowhere"):
        mot.write(tmp_path / "nowhere/out.txt", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def walking(frames: list[int]) -> np.ndarray:
    """Two who walk past each other, 30 frames a second."""
    rows = [(f, -1, x, y, 40, 100, 0.9) for f in frames for x, y in ((100 + 4 * f, 200), (600 - 4 * f, 330))]
    return np.array(rows, float)


def test_two_who_pass_each_other_keep_their_ids() -> None:
    tracks = follow(walking(list(range(1, 61))), 30, PERSONS)
    for y in (200, 330):
        assert len(set(tracks[tracks[:, 3] == y, 1])) == 1
    assert len(tracks) == 120


def test_gaps_are_filled_when_asked_for() -> None:
    table = walking([*range(1, 31), *range(36, 61)])
    assert set(range(31, 36)).isdisjoint(follow(table, 30, PERSONS)[:, 0])
    filled = follow(table, 30, PERSONS, filled=True)
    gap = filled[(filled[:, 0] >= 31) & (filled[:, 0] <= 35)]
    assert len(gap) == 10
    assert (gap[:, 6] == 0).all()
    for y, start, step in ((200, 100, 4), (330, 600, -4)):
        one = gap[np.isclose(gap[:, 3], y)]
        np.testing.assert_allclose(one[:, 2], start + step * one[:, 0])
    assert len(set(filled[:, 1])) == 2


def test_what_nobody_knows_is_not_filled() -> None:
    long = walking([*range(1, 31), *range(46, 61)])  # half a second and a frame
    for table in (long, walking(list(range(1, 31)))):
        np.testing.assert_array_equal(follow(table, 30, PERSONS, filled=True), follow(table, 30, PERSONS))
    looked = [*range(1, 31, 2), *range(36, 61, 2)]
    filled = follow(walking(list(range(1, 61))), 30, PERSONS, frames=looked, filled=True)
    assert set(filled[:, 0]) <= set(looked)


def test_frames_left_out_are_not_looked_at_and_time_goes_on() -> None:
    tracks = follow(walking(list(range(1, 61))), 30, PERSONS, frames=frozenset(range(1, 61, 3)))
    assert set(tracks[:, 0]) == set(range(1, 61, 3))
    assert len(set(tracks[:, 1])) == 2
