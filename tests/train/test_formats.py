"""The same two faces from YOLO's, COCO's and VOC's labels, and what is said to labels that are none."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.train.data import DataError, load_picture
from engines.train.formats import read_any

BOXES = [[10, 20, 30, 60], [50, 8, 70, 32]]


def picture(folder: Path, name: str = "a.png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), np.zeros((80, 100, 3), np.uint8))


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    picture(tmp_path / "images/train")
    picture(tmp_path / "images/train", "empty.png")
    notes = tmp_path / "labels/train"
    notes.mkdir(parents=True)
    lines = [f"0 {(a + c) / 200} {(b + d) / 160} {(c - a) / 100} {(d - b) / 80}" for a, b, c, d in BOXES]
    (notes / "a.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    picture(tmp_path / "images")
    notes = [
        {"image_id": 7, "category_id": kind, "bbox": [a, b, c - a, d - b], "iscrowd": crowd}
        for kind, crowd, (a, b, c, d) in ((1, 0, BOXES[0]), (1, 1, BOXES[1]), (2, 0, [0, 0, 5, 5]))
    ]
    told = {
        "images": [{"id": 7, "file_name": "a.png", "width": 100, "height": 80}],
        "annotations": notes,
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "car"}],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(told))
    return path


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    picture(tmp_path / "JPEGImages")
    (tmp_path / "Annotations").mkdir()
    things = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, hard, (a, b, c, d) in (("with_mask", 0, BOXES[0]), ("without_mask", 1, BOXES[1]))
    )
    size = "<size><width>100</width><height>80</height></size>"
    (tmp_path / "Annotations/a.xml").write_text(f"<annotation><filename>a.png</filename>{size}{things}</annotation>")
    return tmp_path


def test_yolo(yolo: Path) -> None:
    first, empty = (load_picture(entry) for entry in read_any(yolo))
    np.testing.assert_allclose(first.boxes, BOXES, atol=1e-3)
    assert not first.ignore.any()
    assert np.isnan(first.landmarks).all()
    assert len(empty.boxes) == 0


def test_coco_takes_its_faces_and_ignores_its_crowds(coco: Path) -> None:
    (entry,) = read_any(coco)
    found = load_picture(entry)
    np.testing.assert_allclose(found.boxes, BOXES)
    assert found.ignore.tolist() == [False, True]
    assert len(load_picture(read_any(coco, ["car"])[0]).boxes) == 1


def test_voc_is_told_which_classes_are_faces(voc: Path) -> None:
    with pytest.raises(DataError, match=r"with_mask, without_mask.*--face-class"):
        read_any(voc)
    with pytest.raises(DataError, match=r"no class 'hat'"):
        read_any(voc, ["hat"])
    found = load_picture(read_any(voc, ["with_mask", "without_mask"])[0])
    np.testing.assert_allclose(found.boxes, BOXES)
    assert found.ignore.tolist() == [False, True]


def test_our_own_are_read_as_before(labelled: Path) -> None:
    assert read_any(labelled) == read_any(labelled.parent)


def test_labels_that_cannot_be_read_are_named(yolo: Path, tmp_path: Path) -> None:
    (yolo / "labels/train/a.txt").write_text("0 .5 .5\n")
    with pytest.raises(DataError, match=r"a\.txt, line 1"):
        read_any(yolo)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no labels in"):
        read_any(tmp_path / "none")


@pytest.mark.parametrize("text", ["{", "[]", '{"images": [], "categories": [], "annotations": [{}]}'])
def test_json_that_is_not_cocos_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"labels\.json: not COCO"):
        read_any(path)


@pytest.mark.parametrize("change", [("a.png", "b.png"), ("<size>", "<form>"), ("100</width>", "wide</width>")])
def test_xml_that_is_not_vocs_is_named(voc: Path, change: tuple[str, str]) -> None:
    path = voc / "Annotations/a.xml"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(DataError, match=r"a\.xml"):
        read_any(voc)
