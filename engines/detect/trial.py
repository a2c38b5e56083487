"""A stranger's network, tried in a process of its own first: little memory, little time, no file that it could write."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from engines.models.onnx_file import BadModel, check

TRIAL_S: Final = 60.0
"""On a busy machine; a second is usual."""
MEMORY_BYTES: Final = 5 << 30
"""Of address space, of which a runtime's own code takes about 2 GiB ..."""
MEMORY_TIMES_FILE: Final = 6
"""... and so many times the file for the weights, as read and as laid out for the CPU."""
PICTURE_PX: Final = (640, 480)
LONG_SIDE: Final = 640


class Trial(NamedTuple):
    """What a network turned out to be. `ms`: one picture of 640 × 480 on one thread, once warm."""

    family: str
    classes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ms: float


def try_model(
    model: Path, family: str | None = None, classes: Sequence[str] = (), *, limit_s: float = TRIAL_S
) -> Trial:
    """Look at the file, then run it on two pictures in a limited process.

    Raises:
        BadModel: in one line, why it cannot be used.
    """
    check(model)
    memory = MEMORY_BYTES + MEMORY_TIMES_FILE * model.stat().st_size
    asked = {"model": str(model.absolute()), "family": family, "classes": list(classes), "memory": memory}
    command = [sys.executable, "-P", "-m", "engines.detect.trial"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadModel(f"{model}: it did not end within {limit_s:.0f} s when it was tried") from None
    try:
        told = json.loads(done.stdout)
        if "error" in told:
            raise BadModel(told["error"])
        classes, inputs, outputs = (tuple(told[key]) for key in ("classes", "inputs", "outputs"))
        return Trial(told["family"], classes, inputs, outputs, float(told["ms"]))
    except (ValueError, TypeError, KeyError):
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise BadModel(f"{model}: the process that tried it ended with {how}") from None


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(model: Path, family: str | None, classes: Sequence[str]) -> dict[str, Any]:
    import numpy as np

    from engines.detect.detector import open_detector
    from engines.frame import Frame
    from engines.runtimes import read_signature

    detector = open_detector(model, long_side=LONG_SIDE, family=family, names=classes)
    width, height = PICTURE_PX
    random = np.random.default_rng(0)
    for _ in range(2):
        y, u, v = (
            random.integers(16, 236, shape, np.uint8)
            for shape in ((height, width), (height // 2, width // 2), (height // 2, width // 2))
        )
        started = time.monotonic()
        (found,) = detector.detect([Frame(y, u, v, 0, 0)])
        ms = (time.monotonic() - started) * 1e3
        if not found.complete:
            raise BadModel("its answer holds what is no number, or scores above 1: was it exported whole?")
    signature = read_signature(model, detector.kind)
    return {
        "family": detector.family.name,
        "classes": detector.names,
        "inputs": [str(port) for port in signature.inputs],
        "outputs": [str(port) for port in signature.outputs],
        "ms": round(ms, 1),
    }


def main() -> None:
    asked = json.load(sys.stdin)
    _limit(asked["memory"])
    try:
        told = _run(Path(asked["model"]), asked["family"], asked["classes"])
    except MemoryError:
        told = {"error": f"{asked['model']}: it asked for more than {asked['memory'] >> 20} MiB of memory"}
    except Exception as error:  # noqa: BLE001  a stranger's network may make anything fail
        told = {"error": f"{asked['model']}: {' '.join(str(error).split()) or type(error).__name__}"}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
