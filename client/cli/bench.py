"""`fancam bench NAME`: runs `command` of `benchmarks/NAME.py`."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from typing import Annotated

import typer

from client.cli.verb import Verb

HELPERS = (
    "live_redaction", "mot_jobs", "mot_score", "pictures", "plot", "proc", "report", "rig", "scatter", "scripted_studio",
    "smoothers", "wire",
)  # fmt: skip


def questions() -> dict[str, str]:
    """The benchmarks by name, each with the first line of its docstring; none of them is imported for that."""
    import benchmarks

    found = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if not module.ispkg and module.name not in HELPERS:
            source = Path(benchmarks.__path__[0], f"{module.name}.py").read_text()
            found[module.name] = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
    return found


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Which; none lists them.")] = "",
) -> None:
    known = questions()
    if not name or name in ("-h", "--help"):
        print("Usage: fancam bench NAME [OPTIONS]\n\nAnswer one question with a measurement.\n")
        width = max(map(len, known))
        print("\n".join(f"  {key:<{width}}  {text}" for key, text in known.items()))
        return
    name = name.replace("-", "_")
    if name not in known:
        raise typer.BadParameter(f"no benchmark {name!r}: one of {', '.join(known)}", param_hint="NAME")
    bench = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    module = importlib.import_module(f"benchmarks.{name}")
    bench.command(help=module.__doc__, cls=Verb)(module.command)
    bench(ctx.args, prog_name=f"fancam bench {name}")


CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""What follows the name, --help too, is the benchmark's own business."""
