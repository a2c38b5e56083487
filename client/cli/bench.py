"""`fancam bench NAME`: runs `command` of `benchmarks/NAME.py`."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Annotated

import typer

from client.cli.verb import HELP, Verb, plain_app


def questions() -> dict[str, str]:
    """The benchmarks by name, each with the first line of its docstring; none of them is imported for that."""
    import benchmarks

    found = {}
    for path in sorted(Path(benchmarks.__path__[0]).glob("*.py")):
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name == "command" for node in tree.body):
            found[path.stem.replace("_", "-")] = (ast.get_docstring(tree) or "").split("\n")[0]
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
    name = name.replace("_", "-")
    if name not in known:
        raise typer.BadParameter(f"no benchmark {name!r}: one of {', '.join(known)}", param_hint="NAME")
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    bench = plain_app()
    bench.command(help=module.__doc__, cls=Verb, context_settings=HELP)(module.command)
    bench(ctx.args, prog_name=f"fancam bench {name}")


CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""What follows the name, --help too, is the benchmark's own business."""
