"""The networks that `--model` names, for every verb that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import typer

from client.cli.main import Failure

if TYPE_CHECKING:
    from engines.models.networks import Networks
    from server.settings import Settings

HELD: Final[list[int]] = []
"""Descriptors of the named networks that this process uses: nobody can remove them before it ends."""


def check_word(option: str, word: str, words: Sequence[str]) -> None:
    """Raises `typer.BadParameter`: what `--option` was given is not one of these words."""
    if word not in words:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}", param_hint=f"--{option}")


def chosen(words: Sequence[str], *, faces: bool = True) -> Networks:
    """By names in the folder that the settings say, or files, which are tried first; where `faces` are needed, one of them, or
    the built-in one beside them, finds faces.

    Raises:
        Failure: one of them cannot be used.
    """
    from server.settings import SettingsError, load_settings

    try:
        return _chosen(words, load_settings(), faces)
    except SettingsError as error:
        raise Failure(str(error)) from None


def networks_of(settings: Settings) -> Networks:
    """Those that the server shall have, which must find what its streams cover from the start.

    Raises:
        Failure: one of them cannot be used, or what shall be covered is not found by any.
    """
    from server.redaction import check_names

    networks = _chosen(settings.model, settings, True)
    try:
        for policy in (settings.policy, *settings.policies.values()):
            check_names(policy, networks.members, networks.classes)
    except ValueError as error:
        raise Failure(str(error)) from None
    return networks


def _chosen(words: Sequence[str], settings: Settings, faces: bool) -> Networks:
    from engines.detect.networks import choose_networks
    from engines.models.networks import Networks
    from engines.models.onnx_file import BadModel
    from engines.models.registry import BUILT_IN, NAME, Registry, default_folder

    if not words:
        return Networks()
    registry = Registry(settings.model_folder or default_folder())
    try:
        networks = choose_networks(words, registry, faces=faces)
        HELD.extend(registry.hold(word) for word in words if word != BUILT_IN and re.fullmatch(NAME, word))
        return networks
    except BadModel as error:
        raise Failure(str(error)) from None
