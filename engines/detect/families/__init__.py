"""How each family of networks says what it found: one small file a family, one table of them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engines.detect.families import (
    detr,
    fancam_face,
    retinaface,
    scrfd,
    ultralight,
    yolov5,
    yolov5_face,
    yolov7,
    yolov8,
    yolov10,
    yolox,
    yunet,
)
from engines.detect.families.family import Family, Found, Look
from engines.detect.families.names import UnknownFamily, names_in
from engines.runtimes.signature import Signature

__all__ = ["FAMILIES", "Family", "Found", "Look", "UnknownFamily", "class_names", "family_names", "family_of"]

FAMILIES: Final[tuple[Family, ...]] = (
    fancam_face.FAMILY,
    *yolov5.FAMILIES,
    *yolov5_face.FAMILIES,
    *yolov7.FAMILIES,
    *yolov8.FAMILIES,
    yolov10.FAMILY,
    *yolox.FAMILIES,
    retinaface.FAMILY,
    *scrfd.FAMILIES,
    yunet.FAMILY,
    ultralight.FAMILY,
    *detr.FAMILIES,
)


def family_names() -> tuple[str, ...]:
    """All that `family_of` takes as `named`."""
    return tuple(dict.fromkeys(name for family in FAMILIES for name in (family.name, *family.also)))


def family_of(signature: Signature, named: str | None = None) -> Family:
    """The one family that decodes a network of this signature; `named` by the user, or the file's own `family`, decides.

    Raises:
        UnknownFamily: in one line, what was expected and what came, or which families are meant by such outputs.
    """
    came = f"the network gives {', '.join(map(str, signature.outputs))}"
    named = named or signature.metadata.get("family")
    meant = [family for family in FAMILIES if named in (None, family.name, *family.also)]
    if not meant:
        raise UnknownFamily(f"no family {named!r}: one of {', '.join(family_names())}")
    fitting = [family for family in meant if family.recognise(signature)]
    if not fitting and named:
        raise UnknownFamily(f"{named} expects {' or '.join(family.expects for family in meant)}; {came}")
    if not fitting:
        raise UnknownFamily(f"no family has such outputs: {came}; known are {', '.join(family_names())}")
    if len(fitting) > 1:
        names = " or ".join(family.name for family in fitting)
        raise UnknownFamily(f"the family is not certain, say --family {names}: {came}")
    return fitting[0]


def class_names(signature: Signature, family: Family, given: Sequence[str] = ()) -> tuple[str, ...]:
    """What the network's classes are called: by the user, by its file, by its family, else `class 0`, `class 1`, …

    Raises:
        UnknownFamily: more or fewer names than the network has classes.
    """
    count = family.classes(signature) or len(given)
    if not count:
        raise UnknownFamily(
            f"neither the file nor the outputs of {family.name} say how many classes there are: name them"
        )
    names = tuple(given) or names_in(signature.metadata) or family.names[:count]
    if names and len(names) != count:
        raise UnknownFamily(f"{len(names)} names for {count} classes: {', '.join(names[:5])}{', …' * (len(names) > 5)}")
    return names or tuple(f"class {number}" for number in range(count))
