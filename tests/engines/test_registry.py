"""A folder of a user's own networks, and what may be pulled into it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engines.detect.trial import try_model
from engines.disk import sha256_of
from engines.models.onnx_file import BadModel
from engines.models.registry import Model, Registry, default_folder, read_offers

OFFER = f'address = "https://models.example/a.onnx"\nsha256 = "{"0" * 64}"\nlicence = "MIT"\n'


def add(registry: Registry, name: str, file: Path) -> Model:
    """As `fancam models add` does, without a look at what the network computes."""
    model = Model(name, sha256_of(file), file.stat().st_size, "yolov8", ("plate",))
    registry.add(model, file)
    return model


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "best.onnx"
    path.write_bytes(b"a network")
    return path


def test_what_is_added_is_found_again_and_the_users_file_stays(registry: Registry, file: Path) -> None:
    assert registry.all() == []
    added = add(registry, "plates", file)
    assert registry.find("plates") == added
    assert registry.all() == [added]
    assert registry.path("plates").read_bytes() == file.read_bytes()
    assert sorted(path.name for path in registry.folder.iterdir()) == ["plates.json", "plates.onnx"]


def test_a_name_is_given_once(registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    file.write_bytes(b"another")
    with pytest.raises(BadModel, match="there is a model called 'plates'"):
        add(registry, "plates", file)
    assert registry.path("plates").read_bytes() == b"a network"


@pytest.mark.parametrize("name", ["", "Plates", "../plates", "a/b", ".hidden", "-x", "a.onnx", "a" * 65, "a\n", "ä"])
def test_names_that_are_none_reach_no_file(name: str, registry: Registry, file: Path) -> None:
    for use in (registry.find, lambda name: add(registry, name, file)):
        with pytest.raises(BadModel, match="is no name"):
            use(name)
    assert not registry.folder.exists()


def test_a_file_that_is_not_the_one_described_leaves_nothing(registry: Registry, file: Path) -> None:
    with pytest.raises(BadModel, match="was changed while"):
        registry.add(Model("plates", "0" * 64, 1, "yolov8", ("plate",)), file)
    assert list(registry.folder.iterdir()) == []


def test_a_file_that_was_changed_afterwards_is_not_used(registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    registry.path("plates").write_bytes(b"something else")
    with pytest.raises(BadModel, match="is not the file that was added"):
        registry.find("plates")
    registry.path("plates").unlink()
    with pytest.raises(BadModel, match="is not the file that was added"):
        registry.find("plates")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"name": "plates"}', '{"name": "other", "classes": []}', "[" * 100_000]
)
def test_a_description_that_cannot_be_read_is_named(text: str, registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    (registry.folder / "plates.json").write_text(text)
    with pytest.raises(BadModel, match=r"plates\.json does not describe a model"):
        registry.all()


def test_an_unknown_name_is_told_those_there_are(registry: Registry, file: Path) -> None:
    with pytest.raises(BadModel, match="there is none yet"):
        registry.find("plates")
    add(registry, "street", file)
    with pytest.raises(BadModel, match=r"no model is called 'plates' in .*: known are street"):
        registry.find("plates")


def test_what_is_removed_is_gone_and_its_name_free(registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    add(registry, "street", file)
    registry.remove("plates")
    assert sorted(path.name for path in registry.folder.iterdir()) == ["street.json", "street.onnx"]
    add(registry, "plates", file)


@pytest.mark.parametrize("spoil", ["plates.json", "plates.onnx"])
def test_what_is_not_as_it_was_added_can_be_removed(spoil: str, registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    (registry.folder / spoil).write_text("{")
    registry.remove("plates")
    assert list(registry.folder.iterdir()) == []
    add(registry, "plates", file)
    registry.path("plates").unlink()
    registry.remove("plates")
    assert list(registry.folder.iterdir()) == []


def test_what_is_in_use_stays(registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    held = [Registry(registry.folder).hold("plates") for _ in range(2)]
    for descriptor in held:
        with pytest.raises(BadModel, match="'plates' is in use"):
            registry.remove("plates")
        os.close(descriptor)
    registry.remove("plates")


@pytest.mark.parametrize(
    ("name", "said"),
    [("street", "no model is called 'street'"), ("face_nano", "built in"), ("../plates", "is no name")],
)
def test_what_cannot_be_removed_is_said(name: str, said: str, registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    with pytest.raises(BadModel, match=said):
        registry.remove(name)
    assert len(list(registry.folder.iterdir())) == 2


def test_the_built_in_model_s_name_is_taken(registry: Registry, file: Path) -> None:
    with pytest.raises(BadModel, match="built-in"):
        add(registry, "face_nano", file)


def test_the_folder_is_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "fancam/models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # to be ignored, says the specification
    assert default_folder() == Path.home() / ".local/share/fancam/models"


def test_what_fancam_offers_is_pinned_and_licensed(registry: Registry) -> None:
    offers = registry.offers()
    assert "yunet-n" in offers
    for name, offer in offers.items():
        assert offer.name == name
        assert offer.address.startswith("https://")
        assert len(offer.licence) > 3


def test_what_fancam_offers_are_networks_that_it_can_run(shared: Path, registry: Registry) -> None:
    here = {sha256_of(path): path for path in (shared / "data/weights").glob("*.onnx")}
    for offer in registry.offers().values():
        trial = try_model(here[offer.sha256], offer.family, offer.classes)
        assert "face" in trial.classes


def test_a_users_catalogue_adds_to_it_and_goes_first(registry: Registry) -> None:
    registry.folder.mkdir()
    text = f'[mine]\n{OFFER}classes = ["ada", "bea"]\nmembers = true\n[yunet-n]\n{OFFER}'
    (registry.folder / "catalogue.toml").write_text(text)
    offers = registry.offers()
    assert (offers["mine"].classes, offers["mine"].members, offers["mine"].family) == (("ada", "bea"), True, None)
    assert offers["yunet-n"].licence == "MIT"
    assert "yunet-s" in offers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "catalogue.toml: "),
        ("a = 1", "a is not a table"),
        ("[A]\n" + OFFER, "'A' is no name"),
        ("[a]\n" + OFFER.replace("MIT", ""), "a: licence is missing"),
        ("[a]\n" + OFFER.replace("0000", "zzzz"), "a: sha256 is 64"),
        ("[a]\n" + OFFER + "family = 5", "family is a word"),
        ("[a]\n" + OFFER + "classes = [1]", "classes is a list"),
        ("[a]\n" + OFFER + "licens = 'MIT'", "licens means nothing"),
        ("[a]\n" + OFFER + "name = 'b'", "name means nothing"),
    ],
)
def test_a_wrong_catalogue_is_one_line_that_names_the_entry(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(BadModel) as caught:
        read_offers(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_description_is_plain_json(registry: Registry, file: Path) -> None:
    add(registry, "plates", file)
    told = json.loads((registry.folder / "plates.json").read_text())
    assert (told["family"], told["classes"]) == ("yolov8", ["plate"])
