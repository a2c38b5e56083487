"""By walking the code: only the redactor makes a `RedactedFrame`, and nobody makes a decoder's planes writable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engines.frame import Picture, PicturePool, RedactedFrame

ROOT = Path(__file__).resolve().parents[2]
REDACTOR, FRAME = "engines/render/redact.py", "engines/frame.py"
FILES = [
    path for folder in ("engines", "server", "client", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]


def uses(tree: ast.AST) -> set[str]:
    """How a module touches the redacted frame: names the seal, constructs the class, reaches around both."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute | ast.alias):
            name = (
                node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else node.name
            )
            if name == "REDACTOR_SEAL":
                found.add("seal")
        if isinstance(node, ast.Constant) and node.value == "REDACTOR_SEAL":
            found.add("seal")
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            words = {argument.id for argument in node.args if isinstance(argument, ast.Name)}
            if called == "RedactedFrame" or ("RedactedFrame" in words and called not in ("isinstance", "issubclass")):
                found.add("make")
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "RedactedFrame" for base in node.bases):
            found.add("make")
    return found


def writes_flags(tree: ast.AST) -> bool:
    """Whether a module makes an array writable."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            switched = any(isinstance(target, ast.Attribute) and target.attr == "writeable" for target in node.targets)
            if switched and not (isinstance(node.value, ast.Constant) and node.value.value is False):
                return True
        if isinstance(node, ast.Attribute) and node.attr == "setflags":
            return True
    return False


def test_there_is_code_to_walk() -> None:
    assert {REDACTOR, FRAME} <= {path.relative_to(ROOT).as_posix() for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_the_redactor_makes_redacted_frames(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text())
    allowed = {REDACTOR: {"seal", "make"}, FRAME: {"seal"}}.get(name, set())
    assert uses(tree) <= allowed, name
    assert not writes_flags(tree), name


@pytest.mark.parametrize(
    "code",
    [
        "from engines.frame import REDACTOR_SEAL as s",
        "import engines.frame as f\nf.REDACTOR_SEAL",
        "getattr(frame, 'REDACTOR_SEAL')",
        "RedactedFrame(p, q, 0, None, seal=s)",
        "frame.RedactedFrame(p, q, 0, None, seal=s)",
        "RedactedFrame.__new__(RedactedFrame)",
        "class Mine(RedactedFrame): pass",
    ],
)
def test_the_walk_sees_the_ways_around(code: str) -> None:
    assert uses(ast.parse(code))


def test_the_walk_sees_planes_made_writable() -> None:
    assert writes_flags(ast.parse("frame.y.flags.writeable = True"))
    assert writes_flags(ast.parse("frame.y.setflags(write=True)"))
    assert not writes_flags(ast.parse("view.flags.writeable = False"))


@pytest.mark.parametrize("seal", [None, object(), True])
def test_without_the_seal_there_is_no_redacted_frame(seal: object) -> None:
    with pytest.raises(TypeError, match="only the redactor"):
        RedactedFrame(Picture(16, 16), PicturePool(16, 16), 0, None, seal=seal)
