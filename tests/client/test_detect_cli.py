"""`fancam detect`: one JSON line a picture."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from client.cli.detect import Unreadable, describe
from engines.frame import Detections, Frame
from engines.scene.scene import random_scene
from tests.client.command import run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two drawn pictures of which one has odd sides, and a text."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = random_scene(5, 640, 480, performers=3, face_px=(60, 140)).picture(1.0)
    cv2.imwrite(str(folder / "a.png"), drawn)
    (folder / "deeper").mkdir()
    cv2.imwrite(str(folder / "deeper/b.jpg"), drawn[:479, :639])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_gives_a_line_a_picture_with_faces_where_they_are(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", pictures, "--conf", "0.5") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["file"], line["width"], line["height"]) for line in lines] == [
        ("a.png", 640, 480),
        ("deeper/b.jpg", 639, 479),
    ]
    truth = [face for face in random_scene(5, 640, 480, performers=3, face_px=(60, 140)).truth(1.0) if not face.ignore]
    assert truth
    for line in lines:
        assert set(line) == {"file", "width", "height", "faces"}
        for face in truth:
            assert any(near(found["xyxy_px"], face.xyxy_px) for found in line["faces"])
        for found in line["faces"]:
            assert set(found) == {"class", "xyxy_px", "score", "landmarks_px"}
            assert found["class"] == "face"
            assert 0.5 <= found["score"] <= 1
            assert np.shape(found["landmarks_px"]) == (5, 2)


def near(box: list[float], truth: tuple[float, ...]) -> bool:
    """Whether the box's centre lies in the true one and its size is alike."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    inside = truth[0] < x < truth[2] and truth[1] < y < truth[3]
    return inside and 0.5 < (box[3] - box[1]) / (truth[3] - truth[1]) < 2


def test_lines_can_go_to_a_file(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "faces.jsonl"
    assert run("detect", pictures / "a.png", "--out", out, "--runtime", "onnxruntime") == 0
    assert capsys.readouterr().out == ""
    assert json.loads(out.read_text())["file"] == "a.png"
    assert [path.name for path in tmp_path.iterdir()] == ["faces.jsonl"]


def test_unreadable_pictures_are_named_and_the_others_are_done(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 this is none")
    assert run("detect", broken, tmp_path / "missing.png", pictures / "a.png") == 1
    said = capsys.readouterr()
    assert [json.loads(line)["file"] for line in said.out.splitlines()] == ["a.png"]
    lines = said.err.splitlines()
    assert str(broken) in lines[0]
    assert "missing.png" in lines[1]
    assert "2 of 3" in lines[2]


def test_a_small_file_that_claims_a_huge_picture_is_refused_unread(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bomb.png"
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    path.write_bytes(header + bytes(100))
    assert run("detect", path) == 1
    assert "50000x50000 px is more than 50 megapixels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--runtime", "abacus"], 2, "abacus"),
        (["--precision", "int3"], 2, "int3"),
        (["--conf", "2"], 2, "conf"),
        (["--model", "none.onnx"], 1, "no model at none.onnx"),
    ],
)
def test_wrong_words_are_said(
    pictures: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("detect", pictures, *words) == code
    assert said in capsys.readouterr().err


def test_a_folder_without_pictures_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("detect", tmp_path) == 1
    said = capsys.readouterr().err
    assert said.startswith("fancam detect: no picture in")
    assert len(said.splitlines()) == 1


def test_pictures_of_the_same_name_can_be_told_apart(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes((pictures / "a.png").read_bytes())
    assert run("detect", pictures / "a.png", tmp_path) == 0
    names = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert names == [(pictures / "a.png").as_posix(), (tmp_path / "a.png").as_posix()]


def test_a_run_that_is_broken_off_leaves_what_was_there(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "boxes.jsonl"
    out.write_text("of an earlier run\n")

    def broken_off(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("client.cli.detect.read", broken_off)
    assert run("detect", pictures, "--out", out) != 0
    assert out.read_text() == "of an earlier run\n"
    assert list(tmp_path.iterdir()) == [out]


def test_a_picture_is_not_called_empty_because_a_network_broke_down(tmp_path: Path) -> None:
    class Broken:
        def detect(self, frames: list[Frame]) -> list[Detections]:
            return [Detections.none_for(frame, complete=False) for frame in frames]

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(Unreadable, match="no numbers"):
        describe(tmp_path / "a.png", Broken())
