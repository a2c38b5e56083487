"""The real Python bindings of TensorRT, without its libraries: three stubs stand in for those, so that the bindings import and can be read.

Run as a program with a file to write, in a process that finds the bindings and the stubs: every class with its members, the signatures
of its methods and the values of its enums, as JSON.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

STUBS = {
    "libnvinfer": (
        "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry", "getPluginRegistry",
    ),
    "libnvonnxparser": (
        "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getNvOnnxParserVersion",
    ),
    "libnvinfer_plugin": ("initLibNvInferPlugins",),
}  # fmt: skip


class NotHere(Exception):
    """The bindings cannot be had on this machine; the text says why."""


def surface(requirement: str, folder: Path) -> dict[str, Any]:
    """What the bindings of a version offer, such as "==10.13.0.35"; downloaded by pip, which keeps them."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NotHere("no C compiler here")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "-d", folder]
    got = subprocess.run([*command, f"tensorrt-cu12-bindings{requirement}"], capture_output=True, text=True)
    if got.returncode:
        raise NotHere(f"pip cannot download the bindings: {got.stderr.strip().splitlines()[-1]}")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    major = wheel.name.split("-")[1].split(".")[0]
    for library, functions in STUBS.items():
        source = folder / f"{library}.c"
        source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions))
        named = f"{library}.so.{major}"
        subprocess.run([compiler, "-shared", "-fPIC", f"-Wl,-soname,{named}", "-o", folder / named, source], check=True)
    environment = os.environ | {"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder)}
    subprocess.run([sys.executable, __file__, folder / "surface.json"], check=True, env=environment)
    found: dict[str, Any] = json.loads((folder / "surface.json").read_text())
    return found


def _read(module: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"version": module.__version__, "functions": [], "classes": {}}
    for name, thing in vars(module).items():
        if inspect.isclass(thing):
            found["classes"][name] = {
                member: _signatures(name, member, getattr(thing, member)) for member in dir(thing) if member[0] != "_"
            }
            if "__init__" in vars(thing):
                found["classes"][name]["__init__"] = _signatures(name, "__init__", thing.__init__)
        elif callable(thing):
            found["functions"].append(name)
    return found


def _signatures(owner: str, member: str, thing: Any) -> list[list[str]] | None:
    """Of a method its overloads, each as the names of its arguments, a `=` behind those that have a default; None for a value."""
    if not callable(thing) or inspect.isclass(thing):
        return None
    told = re.findall(rf"^(?:\d+\. )?{member}\((self: .*)\) -> ", thing.__doc__ or "", re.MULTILINE)
    return [_arguments(one) for one in told]


def _arguments(told: str) -> list[str]:
    parts = re.split(r", (?=\w+: |\*)", told)[1:]
    return [part.split(":")[0] + ("=" if " = " in part else "") for part in parts if part != "*"]


if __name__ == "__main__":
    import tensorrt_bindings

    Path(sys.argv[1]).write_text(json.dumps(_read(tensorrt_bindings)))
