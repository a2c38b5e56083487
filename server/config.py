"""The settings in force as a fancam.toml that explains itself: what `fancam serve --print-config` prints."""

from __future__ import annotations

import json
import textwrap
from typing import Any, Final

from server.ice import IceServer
from server.settings import FILE, PREFIX, Settings, group_of

HEAD: Final = f"""\
# {FILE}: what `fancam serve` reads from the folder it is started in.
# A variable ({PREFIX}PORT=8080) goes before this file, a flag (--port 8080) before both.
"""
HIDDEN: Final = "***"


def config_text(settings: Settings) -> str:
    """Every setting with its meaning, default and value as TOML; reading it gives the same settings.

    Secrets are not printed: a setting that holds one is commented out.
    """
    lines = [HEAD]
    group = ""
    for key, field in Settings.model_fields.items():
        if group_of(key) != group:
            group = group_of(key)
            lines.append(f"\n# ---- {group}\n")
        value = getattr(settings, key)
        shown = without_secrets(key, value)
        meaning = f"{field.description} Default: {toml(field.default)}"
        lines += textwrap.wrap(meaning, 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        if shown == value:
            lines.append(f"{key} = {toml(value)}\n")
        else:
            lines.append(f"# It holds secrets, which are not printed; put them in for {HIDDEN}:")
            lines.append(f"# {key} = {toml(shown)}\n")
    return "\n".join(lines)


def toml(value: Any) -> str:
    """A setting's value in TOML; what is not set is an empty string."""
    if isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    # JSON's strings are TOML's, but for U+007F, which TOML wants escaped.
    return json.dumps("" if value is None else str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def without_secrets(key: str, value: Any) -> Any:
    """The setting with `***` in place of each secret."""
    if key == "token":
        return (HIDDEN,) * len(value)
    if key == "ice_server":
        return tuple(_ice_server(text) for text in value)
    if key == "input":
        return tuple(_input(text) for text in value)
    return value


def _ice_server(text: str) -> str:
    if IceServer.parse(text).credential is None:
        return text
    scheme, _, rest = text.partition(":")
    return f"{scheme}:{HIDDEN}:{HIDDEN}@{rest.rpartition('@')[2]}"


def _input(text: str) -> str:
    """An address may hold a password before its host, a token in its query and, with RTMP, a stream's key in its path."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    rest, question, _ = rest.partition("?")
    host, slash, path = rest.rpartition("@")[2].partition("/")
    user = f"{HIDDEN}@" if "@" in rest else ""
    if slash and "=rtmp" in scheme:
        path = HIDDEN
    return f"{scheme}://{user}{host}{slash}{path}{question}{HIDDEN if question else ''}"
