"""Which networks run on each frame, and what they find together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

FACES: Final = ("face", "masked face")
"""Classes that are faces, whatever else a network knows."""
PERSON: Final = "person"


class UnknownClass(ValueError):
    """Something is to be covered that no network here finds; the text is one line."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network to be opened: `path` None is the built-in one. `members`: each of its classes is somebody's face."""

    path: str | None = None
    family: str | None = None
    classes: tuple[str, ...] = ("face",)
    members: bool = False

    @property
    def faces(self) -> tuple[str, ...]:
        """Those of its classes that are faces."""
        return self.classes if self.members else tuple(name for name in self.classes if name in FACES)


@dataclass(frozen=True, slots=True)
class Networks:
    """All that are used at once, those that find faces first."""

    all: tuple[Network, ...] = (Network(),)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for network in self.all for name in network.classes))

    @property
    def faces(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for network in self.all for name in network.faces))

    @property
    def members(self) -> tuple[str, ...]:
        """The people that they tell apart."""
        named = (name for network in self.all if network.members for name in network.classes)
        return tuple(dict.fromkeys(name for name in named if name not in FACES))

    def as_json(self) -> list[dict[str, Any]]:
        return [asdict(network) for network in self.all]

    @classmethod
    def from_json(cls, told: Sequence[dict[str, Any]]) -> Networks:
        return cls(tuple(Network(**{**one, "classes": tuple(one["classes"])}) for one in told)) if told else cls()


def check_known(classes: Collection[str], heads: bool, names: Sequence[str]) -> None:
    """Raises UnknownClass: networks with classes of these `names` do not find what is to be covered."""
    known = ", ".join(names)
    for name in classes:
        if name not in names:
            raise UnknownClass(f"no model here finds {name!r}: known are {known}")
    if heads and PERSON not in names:
        raise UnknownClass(f"heads are covered where a model finds {PERSON!r}: known are {known}")
