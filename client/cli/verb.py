"""Help of the verbs in one style."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperArgument, TyperCommand

from client.cli.main import VERBS

WORDS: Final = {Path: "PATH", int: "N", float: "N", str: "TEXT"}
"""What stands for a value that has no name of its own, by its type."""
HELP: Final[dict[str, Any]] = {"help_option_names": ["-h", "--help"]}


def plain_app(**named: Any) -> typer.Typer:
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, **named)


def group(verb: str) -> typer.Typer:
    """A verb with verbs of its own."""
    return plain_app(no_args_is_help=True, help=VERBS[verb], context_settings=HELP)


class Verb(TyperCommand):
    """Values in capitals, defaults and limits in brackets, options under the headings that they name (`rich_help_panel`)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for parameter in self.params:
            if parameter.metavar is None:
                parameter.metavar = _metavar(parameter)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[OPTIONS]", *(one.metavar or "" for one in self.params if isinstance(one, TyperArgument))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for one in self.get_params(ctx):
            default_group = "Arguments" if isinstance(one, TyperArgument) else "Options"
            group = getattr(one, "rich_help_panel", None) or default_group
            groups.setdefault(group, []).append((_left(one), _right(one)))
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def _metavar(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        many = parameter.nargs != 1
        word = parameter.name.removesuffix("s" if many else "").upper()
        word += "…" if many else ""
        return word if parameter.required else f"[{word}]"
    return WORDS.get(parameter.type_descriptor.annotation, "TEXT")


def _left(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar)
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        names += " / " + ", ".join(parameter.secondary_opts)
    return names if parameter.is_flag else f"{names} {parameter.metavar}"


def _right(parameter: Any) -> str:
    """What it is for, and in brackets: that it is required, or its default, its limits, its variable."""
    notes = []
    if isinstance(parameter, TyperArgument):
        return parameter.help or ""
    if parameter.required:
        notes.append("required")
    elif not parameter.is_flag and parameter.default not in (None, "", ()):
        value = parameter.default
        notes.append(" ".join(map(str, value)) if isinstance(value, tuple) else str(value))
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is not None and most is not None:
        notes.append(f"{least} to {most}")
    elif least:
        notes.append(f"at least {least}")
    if parameter.envvar:
        notes.append(f"else {parameter.envvar}")
    return " ".join(filter(None, [parameter.help, f"[{'; '.join(notes)}]" if notes else ""]))
