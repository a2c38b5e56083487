"""`fancam process` on a drawn scene of which every face is known, and on files with quirks."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from engines.codecs.files import VideoFile
from engines.detect.detector import open_detector
from engines.frame import Detections, Frame
from engines.offline import Options, process
from engines.people import COLUMNS
from engines.runtimes import GPU_KINDS, RuntimeKind, trouble
from engines.scene.write import write_scene
from tests.client.command import run
from tests.engines.videos import TURN_90, boxes_of, turn, write_video

FPS, FRAMES = 15, 60
SUMMARY_KEYS = {
    "source", "width", "height", "fps", "frames", "seconds", "faces", "broken", "sound", "people", "detector", "options",
}  # fmt: skip
PERSON_KEYS = {"track", "first_s", "last_s", "frames", "filled", "fancam", "member"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of the drawn scene, with sound."""
    path = tmp_path_factory.mktemp("scene") / "scene.mp4"
    write_scene(path, path.with_suffix(".jsonl"), seconds=FRAMES / FPS, fps=FPS, audio=True)
    return path


@pytest.fixture(scope="module")
def done(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `fancam process` has written for it."""
    out = tmp_path_factory.mktemp("out")
    run("process", scene, "--out", out)
    return out


def decoded(path: Path) -> list[Frame]:
    with VideoFile(path) as video:
        return list(video)


def truth(scene: Path) -> list[list[dict]]:
    return [json.loads(line)["faces"] for line in scene.with_suffix(".jsonl").read_text().splitlines()]


def test_every_frame_is_there_at_its_time_and_size(scene: Path, done: Path) -> None:
    source, redacted = decoded(scene), decoded(done / "redacted.mp4")
    assert len(redacted) == len(source) == FRAMES
    assert [frame.rtp_time for frame in redacted] == [frame.rtp_time for frame in source]
    assert (redacted[0].width, redacted[0].height) == (source[0].width, source[0].height)


def test_every_known_face_is_covered_and_the_rest_is_not(scene: Path, done: Path) -> None:
    source, redacted, faces = decoded(scene), decoded(done / "redacted.mp4"), truth(scene)
    seen = covered = 0
    untouched = []
    for before, after, known in zip(source, redacted, faces, strict=True):
        for face in known:
            if face["ignore"]:
                continue
            x0, y0, x1, y1 = (round(value) for value in face["xyxy_px"])
            part = np.s_[y0:y1, x0:x1]
            seen += 1
            # Where a cover lies, nothing of the picture's ups and downs is left.
            left = np.corrcoef(before.y[part].ravel(), after.y[part].ravel())[0, 1] if after.y[part].std() > 4 else 0.0
            covered += left < 0.5
        untouched.append(np.abs(before.y.astype(int) - after.y).mean())
    assert seen > 150
    assert covered >= 0.97 * seen
    assert float(np.median(untouched)) < 12


def test_there_is_a_fancam_for_each_person_seen_for_a_second(done: Path) -> None:
    people = json.loads((done / "summary.json").read_text())["people"]
    long = [person for person in people if person["last_s"] - person["first_s"] >= 1.1]
    assert len(long) >= 4
    assert all(person["fancam"] for person in long)
    assert {path.name for path in done.glob("fancam-*.mp4")} == {p["fancam"] for p in people if p["fancam"]}
    sizes = set()
    for person in long:
        path = done / person["fancam"]
        assert boxes_of(path).index("moov") < boxes_of(path).index("mdat")
        with av.open(str(path)) as box:
            (stream,) = box.streams
            assert stream.codec_context.name == "h264"
            sizes.add((stream.width, stream.height))
            times = [float(frame.pts * frame.time_base) for frame in box.decode(video=0)]
        assert times[0] == 0
        assert len(times) == pytest.approx((person["last_s"] - person["first_s"]) * FPS + 1, abs=FPS)
    assert len(sizes) == 1


def test_a_fancam_shows_its_person(scene: Path, done: Path) -> None:
    """The face that the table names lies inside each picture of the fancam: found again there by the detector."""
    people = json.loads((done / "summary.json").read_text())["people"]
    person = max((p for p in people if p["fancam"]), key=lambda p: p["frames"])
    frames = decoded(done / person["fancam"])
    detector = open_detector(conf=0.5)
    found = [len(detector.detect([frame])[0]) > 0 for frame in frames[::5]]
    assert sum(found) >= 0.8 * len(found)


def test_the_table_has_a_line_per_person_and_frame(scene: Path, done: Path) -> None:
    with (done / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert ",".join(COLUMNS) == "frame,class,x,y,w,h,pts_s,track,score,state,member,member_state"
    assert {row["class"] for row in rows} == {"face"}
    assert {row["state"] for row in rows} <= {"measured", "filled"}
    assert len({(row["frame"], row["track"]) for row in rows}) == len(rows)
    for row in rows:
        assert float(row["pts_s"]) == pytest.approx(int(row["frame"]) / FPS, abs=0.001)
        assert all(-0.2 < float(row[name]) < 1.2 for name in "xy")
        assert all(0 < float(row[name]) < 1 for name in "wh")
    known = truth(scene)
    centres = {(int(row["frame"]), float(row["x"]) * 640, float(row["y"]) * 480) for row in rows}
    hit = total = 0
    for number, faces in enumerate(known):
        for face in faces:
            if not face["ignore"]:
                x0, y0, x1, y1 = face["xyxy_px"]
                total += 1
                hit += any(n == number and x0 < x < x1 and y0 < y < y1 for n, x, y in centres)
    assert hit >= 0.9 * total


def test_the_summary_says_what_was_done(scene: Path, done: Path) -> None:
    said = json.loads((done / "summary.json").read_text())
    assert set(said) == SUMMARY_KEYS
    assert all(set(person) == PERSON_KEYS for person in said["people"])
    assert (said["source"], said["frames"], said["width"], said["height"]) == ("scene.mp4", FRAMES, 640, 480)
    assert said["fps"] == FPS
    assert said["seconds"] == pytest.approx((FRAMES - 1) / FPS, abs=0.01)
    assert (said["broken"], said["sound"]) == (0, "dropped")
    assert {"model", "runtime", "precision"} <= set(said["detector"])
    assert {path.name for path in done.iterdir()} == {
        "redacted.mp4", "tracks.csv", "summary.json", *(p["fancam"] for p in said["people"] if p["fancam"])
    }  # fmt: skip


def test_the_sound_is_dropped_unless_it_is_asked_for(scene: Path, done: Path, tmp_path: Path) -> None:
    with av.open(str(done / "redacted.mp4")) as box:
        assert not box.streams.audio
    assert run("process", scene, "--out", tmp_path, "--keep-audio", "--no-fancams") == 0
    assert not list(tmp_path.glob("fancam-*"))
    with av.open(str(tmp_path / "redacted.mp4")) as box, av.open(str(scene)) as source:
        heard = [bytes(p) for p in box.demux(audio=0) if p.size]
        was = [bytes(p) for p in source.demux(audio=0) if p.size and p.pts is not None and p.pts >= 0]
    assert heard == was
    assert json.loads((tmp_path / "summary.json").read_text())["sound"] == "kept"


class Failing:
    """Finds nothing, and breaks at a frame."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def warm_up(self, width: int, height: int) -> None: ...

    def describe(self) -> dict[str, str]:
        return {}

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls += 1
        if self.calls > self.at:
            raise ZeroDivisionError("on purpose")
        return [Detections.none_for(frame, complete=True) for frame in frames]


def test_zones_are_black_in_everything_that_is_written(scene: Path, tmp_path: Path) -> None:
    zones = tmp_path / "zones.json"
    zones.write_text("[[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]")
    assert run("process", scene, "--out", tmp_path / "out", "--zones", zones, "--preset", "full body") == 0
    for frame in decoded(tmp_path / "out/redacted.mp4"):
        half = frame.width // 2 - 8
        assert frame.y[:, :half].max() < 64  # a cover at the edge is 44
        assert np.ptp(frame.y[:, half + 16 :]) > 60
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["options"]["zones"] == [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]
    with (tmp_path / "out/tracks.csv").open() as table:
        rows = [*csv.DictReader(table)]
    assert rows
    assert all(float(row["x"]) > 0.45 for row in rows)  # who stands in a zone is not even looked for


@pytest.mark.parametrize("text", ["[[[0, 0], [2, 0], [0, 1]]]", "no JSON", None])
def test_zones_that_cannot_be_read_are_one_line(
    scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None
) -> None:
    zones = tmp_path / "zones.json"
    if text is not None:
        zones.write_text(text)
    assert run("process", scene, "--out", tmp_path / "out", "--zones", zones) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "zones.json" in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("at", [0, 20, 45])
def test_a_failure_in_the_middle_leaves_no_file(scene: Path, tmp_path: Path, at: int) -> None:
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        process(scene, tmp_path, Failing(at), Options())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_cannot_write_is_one_line_and_leaves_no_file(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "redacted.mp4").mkdir()  # its name is taken by a folder
    assert run("process", scene, "--out", tmp_path) == 1
    assert_one_line(capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["redacted.mp4"]


def assert_one_line(said: str) -> None:
    lines = [line for line in said.splitlines() if not line.startswith("redacting:")]
    assert len(lines) == 1, said
    assert lines[0].startswith("fancam process: ")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write_video(path.with_suffix(".mp4"), width=161, height=119, format_="yuv444p"),
        lambda path: write_video(path.with_suffix(".mkv"), 8, times_ms=[0, 33, 50, 250, 251, 900, 940, 2400]),
        lambda path: write_video(path.with_suffix(".webm"), codec="libvpx"),
        lambda path: write_video(path.with_suffix(".gif"), codec="gif", format_="rgb8"),
        lambda path: rotated(write_video(path.with_suffix(".mp4"))),
    ],
    ids=["odd", "variable rate", "webm", "gif", "rotated"],
)
def test_each_source_frame_gives_one_whatever_the_file(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "source")
    assert run("process", path, "--out", tmp_path / "out") == 0
    before, after = decoded(path), decoded(tmp_path / "out/redacted.mp4")
    assert [frame.rtp_time for frame in after] == [frame.rtp_time for frame in before]
    assert (after[0].width, after[0].height) == (before[0].width, before[0].height)


def rotated(path: Path) -> Path:
    turn(path, TURN_90)
    return path


@pytest.mark.parametrize("content", [None, b"", b"no video at all\n" * 100])
def test_what_is_no_video_is_one_line(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    assert run("process", path, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert_one_line(said)
    assert str(path) in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("--style", "pretty"), ("--preset", "wide"), ("--runtime", "abacus")])
def test_a_wrong_word_is_a_usage_error_that_names_the_right_ones(
    tmp_path: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("process", tmp_path / "a.mp4", "--out", tmp_path / "out", option, value) == 2
    said = capsys.readouterr().err
    assert option in said
    assert value in said


def test_the_help_says_that_fancams_show_faces_and_what_the_presets_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("process", "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Cut one video per person seen for a second; faces in these videos are not covered." in said
    assert "each (faces not covered), tracks.csv" in said
    assert "seeds: 200x630, full body, the size of an earlier cutter's videos" in said


@pytest.mark.parametrize("kind", GPU_KINDS)
def test_a_gpu_s_runtime_that_cannot_be_used_is_one_line_that_says_why(
    tmp_path: Path, kind: RuntimeKind, capsys: pytest.CaptureFixture[str]
) -> None:
    why = trouble(kind)
    if why is None:
        pytest.skip(f"{kind} can be used here")
    assert run("process", tmp_path / "a.mp4", "--out", tmp_path / "out", "--runtime", kind) == 1
    assert run("detect", tmp_path / "a.png", "--runtime", kind) == 1
    assert capsys.readouterr().err == f"fancam process: {why}\nfancam detect: {why}\n"


@pytest.mark.slow
def test_a_real_clip_keeps_every_frame(shared: Path, tmp_path: Path) -> None:
    clip = shared / "data/clips/webcam_signing_480p.mp4"
    assert run("process", clip, "--out", tmp_path, "--no-fancams") == 0
    before, after = decoded(clip), decoded(tmp_path / "redacted.mp4")
    assert [frame.rtp_time for frame in after] == [frame.rtp_time for frame in before]
    detector = open_detector(conf=0.6)
    assert sum(len(detector.detect([frame])[0]) for frame in after[::10]) <= 0.02 * len(after[::10])
