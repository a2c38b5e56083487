"""`fancam track`: a table in, a table out, and one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from client.cli.main import main
from engines.track.odds import FOLDER, PREFIX


def table(path: Path) -> Path:
    path.write_text("".join(f"{f},-1,{100 + 3 * f},200,40,100,0.9\n" for f in range(1, 31)))
    return path


def said_by(words: list[str], capsys: pytest.CaptureFixture) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_one_person_in_thirty_frames(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "tracks.txt"
    code, said, _ = said_by(
        ["track", "--detections", str(table(tmp_path / "det.txt")), "--out", str(out), "--fps", "30"], capsys
    )
    assert code == 0
    assert "1 persons in 30 boxes" in said
    rows = np.loadtxt(out, delimiter=",")
    assert rows[:, 0].tolist() == list(range(1, 31))
    assert set(rows[:, 1]) == {1}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["--kind", "cats"], 2, "cats"),
        (["--fps", "0"], 2, "--fps"),
        (["--weights", "det.txt"], 1, "det.txt"),
        (["--weights", "none.npz"], 1, "none.npz"),
        (["--weights", "det.txt", "--kind", "faces"], 2, "--weights"),
        (["--detections", "none.txt"], 1, "none.txt"),
        (["--out", "nowhere/tracks.txt"], 1, "nowhere"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    words: list[str],
    code: int,
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "det.txt")
    ended, _, said = said_by(["track", "--detections", "det.txt", "--out", "tracks.txt", "--fps", "30", *words], capsys)
    assert ended == code
    assert part in said
    assert "Traceback" not in said
    assert not (tmp_path / "tracks.txt").exists()


def test_weights_of_before_partings_are_said_to_be_old(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with np.load(FOLDER / "persons.npz") as arrays:
        np.savez(tmp_path / "old.npz", **{name: arrays[name] for name in arrays.files if not name.startswith(PREFIX)})
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    det, out = table(tmp_path / "det.txt"), tmp_path / "tracks.txt"
    for name, said in (("old.npz", "earlier version"), ("other.npz", "not the weights of a tracker")):
        words = ["track", "--detections", str(det), "--out", str(out), "--fps", "30", "--weights", str(tmp_path / name)]
        code, _, error = said_by(words, capsys)
        assert code == 1
        assert said in error
        assert not out.exists()
