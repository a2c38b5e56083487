"""How each family of networks says what it found: one small file a family, one table of them all."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Final

from engines.detect.families import fancam_face
from engines.detect.families.family import Family, Found, Look
from engines.runtimes import RuntimeFailure
from engines.runtimes.signature import Signature

__all__ = ["FAMILIES", "Family", "Found", "Look", "UnknownFamily", "class_names", "family_of"]

FAMILIES: Final[dict[str, Family]] = {family.name: family for family in (fancam_face.FAMILY,)}


class UnknownFamily(RuntimeFailure):
    """A network's outputs fit no family, several, or not the one that was named."""


def family_of(signature: Signature, named: str | None = None) -> Family:
    """The one family that decodes a network of this signature; `named` by the user, or the file's own `family`, decides.

    Raises:
        UnknownFamily: in one line, what was expected and what came, or which families are meant by such outputs.
    """
    came = f"the network gives {', '.join(map(str, signature.outputs))}"
    named = named or signature.metadata.get("family")
    if named is not None:
        family = FAMILIES.get(named)
        if family is None:
            raise UnknownFamily(f"no family {named!r}: one of {', '.join(FAMILIES)}")
        if not family.recognise(signature):
            raise UnknownFamily(f"{named} expects {family.expects}; {came}")
        return family
    fitting = [family for family in FAMILIES.values() if family.recognise(signature)]
    if not fitting:
        raise UnknownFamily(f"no family has such outputs: {came}; known are {', '.join(FAMILIES)}")
    if len(fitting) > 1:
        names = " or ".join(family.name for family in fitting)
        raise UnknownFamily(f"say --family {names}: {came}, which fits each of them")
    return fitting[0]


def class_names(signature: Signature, family: Family, given: Sequence[str] = ()) -> tuple[str, ...]:
    """What the network's classes are called: by the user, by its file, by its family, else `class 0`, `class 1`, …

    Raises:
        UnknownFamily: more or fewer names than the network has classes.
    """
    count = family.classes(signature)
    names = tuple(given) or names_in(signature.metadata) or family.names
    if names and len(names) != count:
        raise UnknownFamily(f"{len(names)} names for {count} classes: {', '.join(names[:5])}{', …' * (len(names) > 5)}")
    return names or tuple(f"class {number}" for number in range(count))


def names_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The file's own `names`: a mapping from number to name or a list, as JSON or as Python prints it; empty when there is none.

    Raises:
        UnknownFamily: they are there, but cannot be read.
    """
    text = metadata.get("names", "")
    if not text:
        return ()
    try:
        names = json.loads(text) if '"' in text else ast.literal_eval(text)
        if isinstance(names, dict):
            names = [names[key] for key in sorted(names, key=int)]
        return tuple(str(name) for name in names)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UnknownFamily(f"the file's `names` cannot be read: {text[:80]!r}") from error
