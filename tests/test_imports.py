"""The direction of imports, held by walking the code: benchmarks → client → server → engines, and within engines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from server.door import rtp

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("engines", "server", "client", "benchmarks")
ENGINES_MAY_IMPORT = {
    "frame": set(),
    "bitstream": set(),
    "disk": set(),
    "codecs": {"frame", "bitstream"},
    "runtimes": {"frame", "plans"},
    "models": {"disk"},
    "plans": {"disk"},
    "policy": set(),
    "scene": {"frame", "codecs"},
    "detect": {"frame", "codecs", "runtimes", "models"},
    "track": {"frame"},
    "render": {"frame", "codecs", "track", "policy"},
    "besides": {"frame", "models", "render", "track"},
    "bodies": {"frame", "models", "besides", "track"},
    "pipeline": {"frame", "codecs", "runtimes", "models", "detect", "track", "render", "besides", "bodies"},
    "people": {"frame", "codecs", "pipeline", "render", "track"},
    "report": {"disk", "frame", "pipeline", "render", "track"},
    "offline": {
        "frame",
        "codecs",
        "besides",
        "detect",
        "track",
        "render",
        "people",
        "pipeline",
        "policy",
        "report",
        "runtimes",
    },
    "review": {"frame", "codecs", "detect", "track", "render", "pipeline", "report", "offline"},
    "train": {"frame", "codecs", "runtimes", "models", "detect", "scene", "track"},
}


def imports_of(path: Path) -> set[str]:
    """Absolute names of the modules a file imports, wherever in the file."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            found |= {f"{module}.{name.name}" for name in node.names} | {module}
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_no_folder_imports_one_above_it(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    for path in files(layer):
        upward = {name for name in imports_of(path) if name.split(".")[0] in above}
        if path == ROOT / "client/cli/bench.py":
            continue  # finds benchmarks by name, which is its whole job
        assert not upward, f"{path.relative_to(ROOT)} imports {sorted(upward)}"


def test_parts_of_engines_import_only_what_lies_below_them() -> None:
    for path in files("engines"):
        part = path.relative_to(ROOT / "engines").parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        allowed = ENGINES_MAY_IMPORT[part] | {part}
        used = {name.split(".")[1] for name in imports_of(path) if name.startswith("engines.")}
        assert used <= allowed, f"{path.relative_to(ROOT)} imports {sorted(used - allowed)} of engines"


def test_torch_is_imported_only_for_training_and_by_its_runtime() -> None:
    may = [ROOT / "engines/train", ROOT / "engines/runtimes/torch_cuda"]
    may.append(ROOT / "benchmarks/peers")  # which run in an environment of their own
    for layer in LAYERS:
        for path in files(layer):
            if any(path.is_relative_to(folder) for folder in may):
                continue
            users = {name for name in imports_of(path) if name.split(".")[0] in ("torch", "onnx", "nncf")}
            assert not users, f"{path.relative_to(ROOT)} imports {sorted(users)}"


def reached_into(path: Path) -> set[str]:
    """Private attributes that a file takes of something else than itself."""
    own = {"self", "cls", "super()"}
    attributes = [node for node in ast.walk(ast.parse(path.read_text(), str(path))) if isinstance(node, ast.Attribute)]
    return {
        ast.unparse(node) for node in attributes if re.match("_(?!_)", node.attr) and ast.unparse(node.value) not in own
    }


def test_private_names_of_aiortc_are_touched_in_four_modules() -> None:
    """Those that are inherited and taken of `self` are not seen here."""
    touching = {ROOT / "server/door" / f"{name}.py" for name in ("rtp", "receivers", "senders", "mends")}
    assert all(map(reached_into, touching))
    for path in files("server/door") + files("client"):
        if path not in touching:
            reached = reached_into(path)
            assert not reached, f"{path.relative_to(ROOT)} takes {sorted(reached)}, private names of something else"


def test_private_names_of_aiortc_are_checked_at_the_start() -> None:
    checked = {name for names in (*rtp.USED.values(), *rtp.SET.values()) for name in names}
    for name in ("rtp", "receivers", "senders", "mends"):
        reached = {text.rpartition(".")[2] for text in reached_into(ROOT / "server/door" / f"{name}.py")}
        assert reached <= checked, f"{name}.py takes {sorted(reached - checked)}, which rtp.check does not look for"


def test_the_studio_opens_no_socket_to_the_world_and_the_door_no_picture() -> None:
    for path in files("server/studio"):
        assert not {
            n for n in imports_of(path) if n.split(".")[0] in ("aiortc", "uvicorn", "fastapi", "http", "urllib")
        }
    for path in files("server/door"):
        used = {name.split(".")[1] for name in imports_of(path) if name.startswith("engines.")}
        assert not used & {"codecs", "detect", "render", "track", "runtimes", "pipeline"}, path
