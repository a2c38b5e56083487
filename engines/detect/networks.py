"""Which networks are used: those that were named, and the built-in one where none of them finds faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from engines.detect.detector import Detector, open_detector
from engines.detect.joint import JointDetector
from engines.detect.trial import try_model
from engines.models.networks import FACES, Network, Networks
from engines.models.registry import BUILT_IN, Registry


def choose_networks(words: Sequence[str], registry: Registry, *, faces: bool = True) -> Networks:
    """By names of the registry or files, which are tried first; where `faces` are needed, with the built-in one unless one of
    them finds any.

    Raises:
        BadModel: in one line, which cannot be used, and why.
    """
    chosen = []
    for word in words:
        if word == BUILT_IN:
            chosen.append(Network())
            continue
        choice = registry.choose(word)
        family, classes = choice.family, choice.classes
        if not choice.tried:
            trial = try_model(choice.path)
            family, classes = trial.family, trial.classes
        chosen.append(Network(str(choice.path), family, classes, choice.members))
    if faces and not any(set(network.classes) & set(FACES) for network in chosen):
        chosen.insert(0, Network())
    chosen.sort(key=lambda network: not network.faces)
    return Networks(tuple(chosen))


def open_networks(networks: Networks, **wishes: Any) -> Detector:
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
    return cast(Detector, joint)
