"""Which family a file is of: certain from its outputs and metadata, else asked for, never guessed; names come from where they are."""

from __future__ import annotations

import pytest

from engines.detect.families import UnknownFamily, class_names, family_of
from engines.runtimes.signature import Port, Signature
from tests.contract.golden import SEVEN


def signature(*shapes: tuple[int, ...], size: int = 640, called: str = "out", **metadata: str) -> Signature:
    outputs = tuple(Port(f"{called}{number}", "float32", shape) for number, shape in enumerate(shapes))
    return Signature((Port("images", "float32", (1, 3, size, size)),), outputs, (size, size), metadata)


MAPS = [(1, 3, side, side, 16) for side in (80, 40, 20)]
P6_MAPS = [(1, 3, side, side, 85) for side in (80, 40, 20, 10)]


@pytest.mark.parametrize(
    ("came", "family"),
    [
        (signature((1, 84, 8400)), "yolov8"),
        (signature((1, 84, 8500)), "yolov8"),
        (signature((1, 20, 8400), task="pose", names="{0: 'face'}"), "yolov8-face"),
        (signature((1, 20, 8400), names=str(dict.fromkeys(range(16), "a"))), "yolov8"),
        (signature((1, 25200, 85)), "yolov5"),
        (signature((1, 25500, 85)), "yolov5"),
        (signature((1, 25200, 6)), "yolov5"),
        (signature(*P6_MAPS), "yolov5"),
        (signature(*MAPS, called="stride_"), "yolov5-face"),
        (signature((1, 300, 6), end2end="True", head="Detect", **SEVEN), "yolov10"),
        (signature((1, 300, 6), end2end="False", head="RTDETRDecoder", **SEVEN), "rtdetr"),
        (signature((1, 300, 11), **SEVEN), "rtdetr"),
        (signature((1, 300, 6), **SEVEN), "yolov10"),
    ],
)
def test_what_is_certain_is_recognised(came: Signature, family: str) -> None:
    assert family_of(came).name == family


@pytest.mark.parametrize(
    ("came", "choices"),
    [
        (signature((1, 8400, 85)), ["yolox", "yolox-decoded", "yolov6"]),
        (signature(*MAPS), ["yolov5", "yolov5-face", "yolov7"]),
        (signature((1, 20, 8400)), ["yolov8", "yolov8-face"]),
        (signature((1, 25200, 16)), ["yolov5", "yolov5-face"]),
        (signature((1, 300, 6)), ["yolov10", "rtdetr"]),
        (signature((1, 300, 6), names="['one', 'two']"), ["yolov10", "rtdetr"]),
        (signature((1, 100, 92), (1, 100, 4)), ["detr", "rtdetr"]),
    ],
)
def test_what_is_not_certain_is_asked_for(came: Signature, choices: list[str]) -> None:
    with pytest.raises(UnknownFamily) as caught:
        family_of(came)
    said = str(caught.value)
    assert f"--family {' or '.join(choices)}:" in said
    assert str(came.outputs[0]) in said
    for choice in choices:
        assert family_of(came, choice).name == choice


@pytest.mark.parametrize(
    "came",
    [
        signature((1, 128)),
        signature((1, 1000)),
        signature((1, 56, 8400), task="pose", names="{0: 'person'}"),
        signature((1, 116, 8400), (1, 32, 160, 160), task="segment"),
        signature((1, 84, 8399)),
        signature((2, 84, 8400)),
        signature(()),
        signature((1, 84, 8400), names=str({0: "one", 1: "two"})),
    ],
    ids=str,
)
def test_an_unknown_head_is_refused(came: Signature) -> None:
    with pytest.raises(UnknownFamily) as caught:
        family_of(came)
    assert str(came.outputs[0]) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_file_s_own_word_decides_and_an_unknown_one_is_told() -> None:
    assert family_of(signature((1, 8400, 85), family="yolox")).name == "yolox"
    with pytest.raises(UnknownFamily, match="no family 'yolov99': one of fancam, yolov5"):
        family_of(signature((1, 84, 8400)), "yolov99")


@pytest.mark.parametrize("names", ["{0: 'mask', 1: 'no mask'}", '{"1": "no mask", "0": "mask"}', "['mask', 'no mask']"])
def test_names_are_read_as_exporters_write_them(names: str) -> None:
    came = signature((1, 6, 8400), names=names)
    assert class_names(came, family_of(came)) == ("mask", "no mask")


def test_names_of_the_user_come_first_and_must_be_as_many() -> None:
    came = signature((1, 6, 8400), names="{0: 'mask', 1: 'no mask'}")
    family = family_of(came)
    assert class_names(came, family, ["a", "b"]) == ("a", "b")
    with pytest.raises(UnknownFamily, match="1 names for 2 classes: a"):
        class_names(came, family, ["a"])
    nameless = signature((1, 6, 8400))
    assert class_names(nameless, family) == ("class 0", "class 1")


def test_where_nothing_says_how_many_classes_there_are_names_are_asked_for() -> None:
    came = signature((1, 300, 6))
    with pytest.raises(UnknownFamily, match="name them"):
        class_names(came, family_of(came, "yolov10"))
    assert class_names(came, family_of(came, "yolov10"), ["a", "b"]) == ("a", "b")


@pytest.mark.parametrize("names", ["{", "__import__('os')", "{0: 'a', 'x': 'b'}", "7", "[" * 5000])
def test_names_that_cannot_be_read_are_one_line(names: str) -> None:
    came = signature((1, 6, 8400), names=names)
    with pytest.raises(UnknownFamily, match="`names` cannot be read"):
        family_of(came)
