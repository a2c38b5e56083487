"""Which networks are used: those that were named, and the built-in one where none of them finds faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engines.detect.detector import FACES, Detector, open_detector
from engines.detect.joint import JointDetector
from engines.detect.trial import try_model
from engines.models.registry import Registry


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


def choose_networks(words: Sequence[str], registry: Registry) -> Networks:
    """By names of the registry or files, which are tried first; with the built-in one unless one of them finds any face.

    Raises:
        BadModel: in one line, which cannot be used, and why.
    """
    chosen = []
    for word in words:
        choice = registry.choose(word)
        family, classes = choice.family, choice.classes
        if not choice.tried:
            trial = try_model(choice.path)
            family, classes = trial.family, trial.classes
        chosen.append(Network(str(choice.path), family, classes, choice.members))
    if not any(set(network.classes) & set(FACES) for network in chosen):
        chosen.insert(0, Network())
    chosen.sort(key=lambda network: not network.faces)
    return Networks(tuple(chosen))


def open_networks(networks: Networks, **wishes: Any) -> Detector | JointDetector:
    """One detector for them all; `wishes` as for `open_detector`.

    Raises:
        RuntimeFailure: as there.
    """
    opened = []
    for network in networks.all:
        if network.path is None:
            opened.append(open_detector(**wishes))
        else:
            opened.append(open_detector(Path(network.path), family=network.family, names=network.classes, **wishes))
    if len(opened) == 1 and networks.all[0].faces == opened[0].face_names:
        return opened[0]
    joint = JointDetector(opened)
    joint.face_names = networks.faces
    return joint
