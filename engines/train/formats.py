"""Label files of others: YOLO's text files, COCO's JSON and Pascal VOC's XML, read as `Entry` lines like our own.

Boxes alone are taken from them; landmarks come from our own label files (docs/training.md). What COCO calls a crowd and VOC difficult
is an ignore region.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from engines.train.data import DataError, Entry, read_labels

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
FACES = ("face", "masked face")
"""Classes that are faces without a word."""


def read_any(path: Path, faces: Collection[str] = ()) -> list[Entry]:
    """Labels of whichever form `path` has: a .jsonl file or a folder with a train.jsonl (ours), a .json file (COCO), a folder with
    `labels/` (YOLO, pictures in `images/`) or one with .xml files (VOC).

    `faces` names the classes that are faces (YOLO's by number); others are left out.

    Raises:
        DataError: no labels there, labels that cannot be read, or no word on which of several classes are faces.
    """
    if path.suffix == ".json" and path.is_file():
        return _chosen(path, _coco(path), faces)
    if path.is_dir() and not (path / "train.jsonl").is_file():
        if (path / "labels").is_dir():
            return _chosen(path, _yolo(path), faces)
        notes = path / "Annotations" if (path / "Annotations").is_dir() else path
        if any(notes.glob("*.xml")):
            return _chosen(path, _voc(path, notes), faces)
        raise DataError(
            f"no labels in {path}: a train.jsonl (ours), labels/ with .txt files (YOLO) or .xml files (VOC) was expected"
        )
    return read_labels(path)


def _chosen(path: Path, entries: Iterator[Entry], faces: Collection[str]) -> list[Entry]:
    """With those faces alone whose `class` is one, and without the class."""
    found = list(entries)
    if not found:
        raise DataError(f"{path} names no pictures")
    classes = sorted({face["class"] for entry in found for face in entry.faces})
    wanted = set(faces) or set(classes).intersection(FACES) or (set(classes) if len(classes) == 1 else set())
    missing = set(faces) - set(classes)
    if (classes and not wanted) or missing:
        said = f"no class {min(missing)!r}" if missing else "which classes are faces is not certain"
        raise DataError(f"{path}: {said}; there are {', '.join(classes)}: name them with --face-class")
    return [
        Entry(
            entry.file,
            entry.width,
            entry.height,
            [
                {key: value for key, value in face.items() if key != "class"}
                for face in entry.faces
                if face["class"] in wanted
            ],
        )
        for entry in found
    ]


def _face(name: str, xyxy: list[float], ignore: bool = False) -> dict:
    return {"class": name, "xyxy_px": xyxy, "ignore": ignore}


def _yolo(path: Path) -> Iterator[Entry]:
    """`images/**/NAME.jpg` with `labels/**/NAME.txt`: class, centre and size as shares of the picture, a line a face. A picture
    without a file has no faces. Shares are what they stay: the entry's width and height are 1."""
    for file in sorted(file for file in (path / "images").rglob("*") if file.suffix.lower() in SUFFIXES):
        lines = path / "labels" / file.relative_to(path / "images").with_suffix(".txt")
        faces = []
        for number, line in enumerate(lines.read_text(encoding="utf-8").splitlines() if lines.is_file() else (), 1):
            words = line.split()
            if not words:
                continue
            try:
                x, y, width, height = map(float, words[1:5])
            except ValueError:
                raise DataError(f"{lines}, line {number}: not a class, a centre and a size") from None
            faces.append(_face(words[0], [x - width / 2, y - height / 2, x + width / 2, y + height / 2]))
        yield Entry(file, 1, 1, faces)


def _coco(path: Path) -> Iterator[Entry]:
    """Pictures lie beside the file, in `images/` there or beside its folder."""
    places = (path.parent, path.parent / "images", path.parent.parent / "images", path.parent.parent)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        names = {category["id"]: str(category["name"]) for category in told["categories"]}
        faces = defaultdict(list)
        for note in told["annotations"]:
            x, y, width, height = map(float, note["bbox"])
            box = [x, y, x + width, y + height]
            faces[note["image_id"]].append(_face(names[note["category_id"]], box, bool(note.get("iscrowd"))))
        for picture in told["images"]:
            found = [place / picture["file_name"] for place in places if (place / picture["file_name"]).is_file()]
            if not found:
                raise DataError(f"{path}: {picture['file_name']} is neither beside it nor in images/")
            yield Entry(found[0], int(picture["width"]), int(picture["height"]), faces[picture["id"]])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not COCO's labels ({error!r})") from None


def _voc(path: Path, notes: Path) -> Iterator[Entry]:
    places = (path / "JPEGImages", path / "images", notes)
    for file in sorted(notes.glob("*.xml")):
        try:
            tree = ElementTree.parse(file).getroot()
            name = _text(tree, "filename", str)
            found = [place / name for place in places if (place / name).is_file()]
            if not found:
                raise DataError(f"{file}: {name} is not in {places[0]}")
            faces = [
                _face(
                    _text(thing, "name", str),
                    [_text(thing, f"bndbox/{side}", float) for side in ("xmin", "ymin", "xmax", "ymax")],
                    thing.findtext("difficult", "0").strip() == "1",
                )
                for thing in tree.iter("object")
            ]
            yield Entry(found[0], _text(tree, "size/width", int), _text(tree, "size/height", int), faces)
        except (ElementTree.ParseError, ValueError) as error:
            raise DataError(f"{file}: not VOC's labels ({error})") from None


def _text(tree: ElementTree.Element, name: str, kind: Callable[[str], Any]) -> Any:
    text = tree.findtext(name)
    if text is None:
        raise ValueError(f"no {name}")
    return kind(text.strip())
