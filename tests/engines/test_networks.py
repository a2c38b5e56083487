"""Several networks at once: by name or file, with the built-in one where none finds faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engines.detect.networks import choose_networks, open_networks
from engines.detect.trial import try_model
from engines.disk import sha256_of
from engines.frame import Frame
from engines.models import default_face_model
from engines.models.networks import Network, Networks, UnknownClass, check_known
from engines.models.onnx_file import BadModel
from engines.models.registry import Model, Registry
from engines.scene.scene import random_scene
from tests.onnx_made import yolov8


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def made(folder: Path, name: str, classes: list[str]) -> Path:
    """A network that finds its last class in the middle of every picture."""
    path = folder / f"{name}.onnx"
    path.write_bytes(yolov8([(16, 16, 48, 48)], [len(classes) - 1], classes))
    return path


def add(registry: Registry, path: Path, members: bool = False) -> str:
    trial = try_model(path)
    model = Model(path.stem, sha256_of(path), path.stat().st_size, trial.family, trial.classes, members)
    registry.add(model, path)
    return path.stem


def test_none_named_is_the_built_in_one(registry: Registry) -> None:
    assert choose_networks([], registry) == Networks()
    assert open_networks(Networks()).names == ("face",)


def test_the_built_in_one_has_a_name_too(registry: Registry, tmp_path: Path) -> None:
    assert choose_networks(["face_nano"], registry) == Networks()
    street = str(made(tmp_path, "street", ["car", "plate"]))
    assert choose_networks(["face_nano", street], registry) == choose_networks([street], registry)


def test_plates_go_beside_the_built_in_faces(registry: Registry, tmp_path: Path) -> None:
    file = made(tmp_path, "street", ["car", "plate"])
    for word in (add(registry, file), str(file)):
        networks = choose_networks([word], registry)
        assert networks.classes == ("face", "car", "plate")
        assert (networks.faces, networks.members) == (("face",), ())
        (y, u, v) = random_scene(5, 640, 480, performers=3, face_px=(80, 200)).planes(1.0)
        (found,) = open_networks(networks).detect([Frame(y, u, v, 0, 0)])
        assert len(found.faces()) > 0
        others = found.others()
        assert others is not None
        (plate,) = others.boxes
        assert np.abs(plate - np.array((160, 160, 480, 480))).max() < 2  # of the 640 px that the network's 64 stand for
        assert found.names[others.classes[0]] == "plate"


def test_one_that_finds_faces_takes_the_built_in_ones_place(registry: Registry, tmp_path: Path) -> None:
    file = str(made(tmp_path, "mine", ["plate", "face"]))
    networks = choose_networks([file], registry)
    assert [network.path for network in networks.all] == [file]
    detector = open_networks(networks)
    assert detector.names == ("plate", "face")
    (found,) = detector.detect([Frame(*random_scene(5, 640, 480).planes(1.0), 0, 0)])
    assert len(found.faces()) == 1
    assert len(open_networks(choose_networks([file], registry, faces=False)).names) == 2


def test_the_classes_of_members_are_faces_and_strangers_are_found_too(registry: Registry, tmp_path: Path) -> None:
    name = add(registry, made(tmp_path, "band", ["ada", "bea"]), members=True)
    networks = choose_networks([name], registry)
    assert (networks.faces, networks.members) == (("face", "ada", "bea"), ("ada", "bea"))
    (found,) = open_networks(networks).detect([Frame(*random_scene(5, 640, 480).planes(1.0), 0, 0)])
    assert "bea" in {found.names[number] for number in found.faces().classes}
    assert len(found.others() or ()) == 0


def test_they_travel_as_json() -> None:
    networks = Networks((Network(), Network("/a.onnx", "yolov8", ("ada",), members=True)))
    assert Networks.from_json(networks.as_json()) == networks
    assert Networks.from_json([]) == Networks()


@pytest.mark.parametrize("word", ["plates", "./plates.onnx"])
def test_a_word_that_names_nothing(word: str, registry: Registry) -> None:
    with pytest.raises(BadModel, match="no model"):
        choose_networks([word], registry)


def test_a_file_is_tried_before_it_is_used(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_text("no network")
    with pytest.raises(BadModel, match="not an ONNX file"):
        choose_networks([str(path)], registry)
    assert choose_networks([str(default_face_model())], registry).all[0].family == "fancam"


def test_what_is_not_found_is_named_with_what_is() -> None:
    check_known(["face", "plate"], False, ("face", "plate"))
    check_known([], True, ("person",))
    with pytest.raises(UnknownClass, match="'dog': known are face, plate"):
        check_known(["plate", "dog"], False, ("face", "plate"))
    with pytest.raises(UnknownClass, match="'person': known are face"):
        check_known([], True, ("face",))
