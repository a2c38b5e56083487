"""The scene as files: a video that players take, a truth that judges read, and a command that writes both."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from engines.scene.demo import demo_scene
from engines.scene.marker import read_marker
from engines.scene.write import write_scene


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two seconds with marker and sound, and their truth."""
    folder = tmp_path_factory.mktemp("scene")
    video, truth = folder / "scene.mp4", folder / "scene.jsonl"
    count = write_scene(video, truth, scene=demo_scene(320, 240), seconds=2, marker=True, audio=True)
    assert count == 60
    return video, truth


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=110)


def fancam(*words: str) -> subprocess.CompletedProcess[str]:
    return run("-c", "from client.cli.main import main; main()", *words)


def test_the_video_is_plain_h264_with_a_keyframe_a_second(files: tuple[Path, Path]) -> None:
    with av.open(str(files[0])) as box:
        stream = box.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.profile in ("Constrained Baseline", "Baseline")
        frames = list(box.decode(stream))
    assert [round(f.time * 30) for f in frames] == list(range(60))
    assert [n for n, f in enumerate(frames) if f.key_frame] == [0, 30]
    assert {(f.width, f.height, f.format.name) for f in frames} == {(320, 240, "yuv420p")}


def test_every_frame_carries_its_number(files: tuple[Path, Path]) -> None:
    with av.open(str(files[0])) as box:
        read = [read_marker(f.to_ndarray(format="gray")) for f in box.decode(video=0)]
    assert read == list(range(60))


def test_it_streams_from_the_start(files: tuple[Path, Path]) -> None:
    data = files[0].read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_the_beep_is_on_the_second(files: tuple[Path, Path]) -> None:
    with av.open(str(files[0])) as box:
        rate = box.streams.audio[0].rate
        blocks = [(f.time, f.to_ndarray().ravel()) for f in box.decode(audio=0)]
    loud = [t + i / rate for t, block in blocks for i in np.flatnonzero(np.abs(block) > 0.1) if t + i / rate > 0.5]
    assert min(loud) == pytest.approx(1.0, abs=0.01)
    assert max(t for t in loud if t < 1.5) == pytest.approx(1.04, abs=0.015)


def test_the_truth_has_a_line_a_frame(files: tuple[Path, Path]) -> None:
    rows = [json.loads(line) for line in files[1].read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(60))
    assert rows[30]["time_s"] == pytest.approx(1.0)
    face = rows[0]["faces"][0]
    assert set(face) == {"id", "xyxy_px", "landmarks_px", "masked", "ignore", "visible", "yaw_deg", "body_xyxy_px"}
    assert {person["id"] for person in rows[0]["people"]} == {1, 2, 3, 4, 5}


def test_the_judges_read_the_truth_as_it_is(files: tuple[Path, Path], shared: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in files[1].read_text().splitlines()]
    for row in rows:
        row["faces"] = [face | {"score": 0.9} for face in row["faces"] if not face["ignore"]]
    perfect = tmp_path / "perfect.jsonl"
    perfect.write_text("\n".join(map(json.dumps, rows)))
    judged = run(str(shared / "judges/ap.py"), "--gt", str(files[1]), "--pred", str(perfect), "--json-only")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout.splitlines()[-1])["ap50"] == 1.0

    leaks = str(shared / "judges/leaks.py")
    judged = run(leaks, str(files[0]), "--control", "recode", "--truth", str(files[1]), "--limit", "10", "--json")
    assert judged.returncode == 0, judged.stderr
    every = json.loads(judged.stdout.splitlines()[-1])["classes"]["all"]
    assert every["sure"] == every["leaks"] >= 20


def test_a_writer_that_is_stopped_leaves_nothing_and_spares_the_old_file(tmp_path: Path) -> None:
    video = tmp_path / "scene.mp4"
    video.write_bytes(b"before")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_scene(video, tmp_path / "t.jsonl", scene=demo_scene(160, 120), seconds=1, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mp4"]
    assert video.read_bytes() == b"before"


def test_the_command_writes_both_files(tmp_path: Path) -> None:
    video, truth = tmp_path / "a.mp4", tmp_path / "a.jsonl"
    done = fancam(
        "scene", "--out", str(video), "--truth", str(truth), "--seconds", "0.5", "--size", "192x144", "--fps", "10"
    )
    assert done.returncode == 0, done.stderr
    assert "5 frames of 192x144" in done.stdout
    with av.open(str(video)) as box:
        assert sum(1 for _ in box.decode(video=0)) == 5
    assert len(truth.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["--size", "641x480"], 2, "even"),
        (["--size", "huge"], 2, "WIDTHxHEIGHT"),
        (["--out", "/no/such/folder/x.mp4"], 1, "make it first"),
    ],
)
def test_the_command_says_what_was_wrong(words: list[str], code: int, hint: str) -> None:
    done = fancam("scene", "--seconds", "0.1", *words)
    assert done.returncode == code
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
