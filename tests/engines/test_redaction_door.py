"""By walking the code: only the redactor makes a `RedactedFrame`, nothing else gets to an encoder of the redacted feed, nobody
makes a decoder's planes writable, and nothing in the environment has a say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from engines.frame import Picture, PicturePool, RedactedFrame

ROOT = Path(__file__).resolve().parents[2]
REDACTOR, FRAME, PIPELINE = "engines/render/redact.py", "engines/frame.py", "engines/pipeline.py"
LIVE, OFFLINE = "server/studio/feeds.py", "engines/offline.py"
FILES = [
    path for folder in ("engines", "server", "client", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]
OPENS_ENCODERS = {
    "engines/codecs/encode.py": "the encoder itself",
    "engines/codecs/mux.py": "the same for files",
    "engines/scene/write.py": "drawn scenes",
    "server/pull/video.py": "an input on its way in, which has nothing of the server's",
    "server/studio/calibrate.py": "a drawn face, to see what that costs",
    "server/studio/studio.py": "slates",
    LIVE: "the feeds: redacted takes RedactedFrame",
    OFFLINE: "files: redacted.mp4 is written from RedactedFrame",
}
"""Where pictures are encoded or written, in engines and server; recordings are made by viewers of what they are sent."""
NAMES = {"REDACTOR_SEAL": "seal", "RedactedFrame": "make"}


def name_of(node: ast.AST) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def uses(tree: ast.AST) -> set[str]:
    """How a module touches the redacted frame: names the seal, constructs the class, reaches around both."""
    found = set()
    for node in ast.walk(tree):
        if name_of(node) == "REDACTOR_SEAL" or (isinstance(node, ast.alias) and node.name == "REDACTOR_SEAL"):
            found.add("seal")
        if isinstance(node, ast.Constant) and node.value in (*NAMES, "engines.frame"):  # getattr, vars, import_module
            found.add(NAMES.get(node.value, "make"))
        if isinstance(node, ast.alias) and node.name == "RedactedFrame" and node.asname:
            found.add("make")
        if isinstance(node, ast.ImportFrom) and node.module == "engines.frame" and node.names[0].name == "*":
            found.add("make")
        if isinstance(node, ast.Call):
            given = {name_of(argument) for argument in (*node.args, *(word.value for word in node.keywords))}
            called = name_of(node.func)
            if called == "RedactedFrame" or ("RedactedFrame" in given and called not in ("isinstance", "issubclass")):
                found.add("make")
        if isinstance(node, ast.Assign) and name_of(node.value) == "RedactedFrame":
            found.add("make")
        if isinstance(node, ast.ClassDef) and {"RedactedFrame", "Redactor"} & {name_of(base) for base in node.bases}:
            found.add("make")
    return found


def has_picture(node: ast.AST) -> bool:
    """Whether what is reached lies in somebody's `.picture`."""
    return any(isinstance(part, ast.Attribute) and part.attr == "picture" for part in ast.walk(node))


def changes(tree: ast.AST) -> bool:
    """Whether a module that has redacted frames changes one, or how the redactor makes them."""
    if not any(name_of(node) in ("RedactedFrame", "Redactor", "RedactedFeed", "redactor") for node in ast.walk(tree)):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if name_of(node.func) in ("copy_from", "fill") and has_picture(node.func):
                return True
            if name_of(node.func) in ("setattr", "__setattr__"):
                return True
        if isinstance(node, ast.Assign | ast.AugAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                owner = name_of(getattr(target, "value", target))
                if isinstance(target, ast.Attribute) and target.attr in ("picture", "__class__"):
                    return True
                if owner in ("Redactor", "redactor") and name_of(target) not in ("style", "shown"):
                    return True
                if isinstance(target, ast.Subscript) and has_picture(target):
                    return True
    return False


def opens_encoder(tree: ast.AST) -> bool:
    """Whether a module encodes pictures or writes them to a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            words = {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
            if name_of(node.func) in ("Encoder", "Mp4Writer", "imencode", "imwrite", "to_image", "fromarray"):
                return True
            if name_of(node.func) == "add_stream" and words != {"aac"}:
                return True
            if name_of(node.func) == "create" and "w" in words and "libopus" not in words:
                return True
    return False


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
    assert name in (REDACTOR, FRAME) or not changes(tree), name


def modules(*folders: str) -> dict[str, ast.AST]:
    named = {path.relative_to(ROOT).as_posix(): path for path in FILES}
    return {name: ast.parse(path.read_text()) for name, path in named.items() if name.startswith(folders)}


def test_pictures_are_encoded_and_written_nowhere_else() -> None:
    found = {name for name, tree in modules("engines/", "server/").items() if opens_encoder(tree)}
    assert {name for name in found if not name.startswith("engines/train/")} == set(OPENS_ENCODERS)


def test_one_place_sends_what_is_encoded_and_few_ask_the_redactor() -> None:
    for name, tree in modules("engines/", "server/studio/").items():
        assert name == LIVE or not any(name_of(node) == "ENCODED" for node in ast.walk(tree)), name
    for name, tree in modules("engines/", "server/", "client/").items():
        asks = any(isinstance(node, ast.Call) and name_of(node.func) == "redact" for node in ast.walk(tree))
        assert not asks or name == PIPELINE, name


CACHES = "engines/disk.py", "engines/models/registry.py"


def test_the_environment_has_no_say() -> None:
    """There is nothing to set that covers less; only where a cache and the models lie is looked up."""
    for name, tree in modules("engines/", "server/studio/").items():
        asks = {name_of(node) for node in ast.walk(tree)} & {"environ", "getenv"}
        assert not asks or name in CACHES, name


@pytest.mark.parametrize(
    "code",
    [
        "from engines.frame import REDACTOR_SEAL as s",
        "import engines.frame as f\nf.REDACTOR_SEAL",
        "getattr(frame, 'REDACTOR_SEAL')",
        "RedactedFrame(p, q, 0, seal=s)",
        "frame.RedactedFrame(p, q, 0, seal=s)",
        "RedactedFrame.__new__(RedactedFrame)",
        "class Mine(RedactedFrame): pass",
        "class Mine(frame.RedactedFrame): pass",
        "class Mine(Redactor): pass",
        "from engines.frame import RedactedFrame as R",
        "from engines.frame import *",
        "import_module('engines.frame')",
        "getattr(frame, 'RedactedFrame')",
        "make = frame.RedactedFrame",
        "partial(frame.RedactedFrame, p)",
        "make(cls=RedactedFrame)",
    ],
)
def test_the_walk_sees_the_ways_around(code: str) -> None:
    assert uses(ast.parse(code))


@pytest.mark.parametrize(
    "code",
    [
        "safe.picture = frame",
        "safe.picture.y[:] = frame.y",
        "safe.picture.y[3, 4] += 1",
        "safe.picture.copy_from(frame)",
        "safe.__class__ = Other",
        "redactor._paint = nothing",
        "setattr(redactor, '_paint', nothing)",
        "Redactor._paint = nothing",
        "feed.redactor.redact = nothing",
    ],
)
def test_the_walk_sees_what_is_changed_afterwards(code: str) -> None:
    assert changes(ast.parse(f"isinstance(safe, RedactedFrame)\n{code}"))
    assert not changes(ast.parse("isinstance(safe, RedactedFrame)\nredactor.shown = frozenset()"))


@pytest.mark.parametrize(
    "code",
    [
        "Encoder('h264', 640, 480)",
        "encode.Encoder('h264', 640, 480)",
        "av.CodecContext.create('libvpx', 'w')",
        "box.add_stream('libx264')",
        "box.add_stream(name)",
        "cv2.imwrite(path, picture)",
        "Image.fromarray(picture)",
    ],
)
def test_the_walk_sees_encoders(code: str) -> None:
    assert opens_encoder(ast.parse(code))
    assert not opens_encoder(ast.parse("av.CodecContext.create('h264', 'r')"))


def test_the_walk_sees_planes_made_writable() -> None:
    assert writes_flags(ast.parse("frame.y.flags.writeable = True"))
    assert writes_flags(ast.parse("frame.y.setflags(write=True)"))
    assert not writes_flags(ast.parse("view.flags.writeable = False"))


@pytest.mark.parametrize("seal", [None, object(), True])
def test_without_the_seal_there_is_no_redacted_frame(seal: object) -> None:
    with pytest.raises(TypeError, match="only the redactor"):
        RedactedFrame(Picture(16, 16), PicturePool(16, 16), 0, seal=seal)
