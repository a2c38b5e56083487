"""What a network's file says its classes are called."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping

from engines.runtimes import RuntimeFailure
from engines.runtimes.signature import Signature


class UnknownFamily(RuntimeFailure):
    """A network's outputs fit no family, several, or not the one that was named; or its class names do not fit them."""


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


def may_have(signature: Signature, classes: int) -> bool:
    """Whether the file names so many classes, or none at all."""
    return classes > 0 and len(names_in(signature.metadata)) in (0, classes)


def detects(signature: Signature) -> bool:
    """False where the file says that its task is another one (pose, segment, …)."""
    return signature.metadata.get("task", "detect") == "detect"
