"""`fancam models`: a network of one's own gets a name, a known one is pulled."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from client.cli import networks
from engines.models import default_face_model
from tests.client.command import run
from tests.onnx_made import yolov8

COCO = ("--family", "yolox", "--classes", "coco")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where named networks lie for this test."""
    monkeypatch.setenv("FANCAM_MODEL_FOLDER", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """A file with a network that finds cars and plates."""
    path = tmp_path / "best.onnx"
    path.write_bytes(yolov8([(8, 8, 24, 24)], [1], ["car", "plate"]))
    return path


def test_added_listed_and_shown(folder: Path, plates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "add", plates, "--name", "plates", "--licence", "mine") == 0
    assert "plates: yolov8, finds car, plate" in capsys.readouterr().out
    assert run("models", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["face_nano", "fancam"] and line.endswith("built in") for line in lines)
    assert any(line.split()[:4] == ["plates", "yolov8", "car,", "plate"] for line in lines)
    assert any(line.endswith("fancam models pull yunet-n") for line in lines)
    assert run("models", "show", "plates") == 0
    said = capsys.readouterr().out
    for part in (
        str(folder / "plates.onnx"),
        sha256(plates.read_bytes()).hexdigest(),
        "car, plate",
        "mine",
        str(plates),
    ):
        assert part in said
    assert run("models", "show", "plates", "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["car", "plate"]
    assert run("models", "list", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in told["models"]] == ["plates"]
    assert "yunet-n" in [offer["name"] for offer in told["can_be_pulled"]]


@pytest.mark.parametrize("by_file", [False, True])
def test_classes_may_be_named(by_file: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("visage\n\n")
    words = ["--classes", names if by_file else "visage"]
    assert run("models", "add", default_face_model(), "--name", "mine", *words) == 0
    assert "finds visage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "Plates"], "'Plates' is no name"),
        (["--name", "../plates"], "is no name"),
        (["--name", "plates", "--classes", "a,b,c"], "3 names for 2 classes"),
        (["--name", "plates", "--family", "yolox"], "yolox expects"),
        (["--name", "plates", "--family", "abacus"], "no family 'abacus'"),
    ],
)
def test_what_does_not_pass_is_one_line_and_leaves_nothing(
    words: list[str], said: str, folder: Path, plates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "add", plates, *words) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not folder.exists()


def test_files_that_are_none(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "net.onnx"
    text.write_text("no network")
    for path in (text, tmp_path / "none.onnx", tmp_path):
        assert run("models", "add", path, "--name", "plates") == 1
        error = capsys.readouterr().err
        assert str(path) in error
        assert error.count("\n") == 1
    assert not folder.exists()


def test_a_name_is_taken(folder: Path, plates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code in (0, 1):
        assert run("models", "add", plates, "--name", "plates") == code
    assert "there is a model called 'plates'" in capsys.readouterr().err


def test_removed(folder: Path, plates: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models", "add", plates, "--name", "plates") == 0
    assert run("models", "remove", "plates") == 0
    assert capsys.readouterr().out.endswith("plates is removed\n")
    assert list(folder.iterdir()) == []
    assert plates.is_file()
    for name, said in (("plates", "no model is called 'plates'"), ("face_nano", "is built in")):
        assert run("models", "remove", name) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_what_a_running_command_uses_is_not_removed(
    folder: Path, plates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "add", plates, "--name", "plates") == 0
    held, networks.HELD[:] = networks.HELD[:], []
    try:
        networks.chosen(["plates"], faces=False)
        assert run("models", "remove", "plates") == 1
        assert "'plates' is in use" in capsys.readouterr().err
        assert (folder / "plates.onnx").is_file()
    finally:
        for descriptor in networks.HELD:
            os.close(descriptor)
        networks.HELD[:] = held
    assert run("models", "remove", "plates") == 0


def test_real_networks_are_added_as_they_are(folder: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = shared / "data/weights"
    assert run("models", "add", weights / "yolox_nano_416.onnx", "--name", "street", *COCO) == 0
    assert "finds person, bicycle, car and 77 more" in capsys.readouterr().out
    assert run("models", "add", weights / "mobilefacenet_112.onnx", "--name", "embedding") == 1
    assert "output float32 [1,128]" in capsys.readouterr().err


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server that gives the files of `tmp_path`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_pulled_from_ones_own_catalogue(
    folder: Path, plates: Path, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    good, wrong = sha256(plates.read_bytes()).hexdigest(), "0" * 64
    entries = (("plates", good), ("wrong", wrong))
    (folder / "catalogue.toml").write_text(
        "".join(
            f'[{name}]\naddress = "{web}/best.onnx"\nsha256 = "{hash}"\nlicence = "MIT"\n' for name, hash in entries
        )
    )
    assert run("models", "pull", "plates") == 0
    said = capsys.readouterr().out
    assert "licence: MIT" in said
    assert "plates: yolov8, finds car, plate" in said
    assert (folder / "plates.onnx").read_bytes() == plates.read_bytes()
    assert run("models", "pull", "wrong") == 1
    assert "not the file that was meant" in capsys.readouterr().err
    assert run("models", "pull", "plates") == 1
    assert "there is a model called" in capsys.readouterr().err
    assert run("models", "pull", "unknown") == 1
    assert "'unknown' cannot be pulled" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["catalogue.toml", "plates.json", "plates.onnx"]


def test_what_was_pulled_and_is_no_network_is_removed(
    folder: Path, tmp_path: Path, web: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (tmp_path / "best.onnx").write_text("no network")
    hash = sha256(b"no network").hexdigest()
    (folder / "catalogue.toml").write_text(
        f'[plates]\naddress = "{web}/best.onnx"\nsha256 = "{hash}"\nlicence = "MIT"\n'
    )
    assert run("models", "pull", "plates") == 1
    assert "not an ONNX file" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["catalogue.toml"]


def test_an_unknown_setting_is_said_here_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FANCAM_MODEL_FOLDRE", "x")
    assert run("models", "list") == 1
    assert "did you mean FANCAM_MODEL_FOLDER" in capsys.readouterr().err
