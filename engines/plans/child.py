"""A build in a process of its own: off the serving path, and one that crashes takes nothing along. It ends with its parent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engines.plans.build import Settings, build_plan
from engines.plans.key import Key, PlanPrecision, Target
from engines.plans.load import onnx_sha256
from engines.plans.store import PlanError, Store
from engines.plans.trt import load_trt

SAY_EVERY_S: Final = 0.2
NICENESS: Final = 10
"""Who serves on this machine goes first."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to build, for where, into which folder; `module` is TensorRT's name; another `precision` than this is refused."""

    model: Path
    target: Target
    settings: Settings
    folder: Path
    module: str = "tensorrt"
    precision: PlanPrecision | None = None


class Building:
    """A build that runs: `share` (0 to 1) says how far it is; after `done` either `plan` or `error` is there."""

    def __init__(self, order: Order) -> None:
        self.share = 0.0
        self.plan: Path | None = None
        self.seconds = 0.0
        self.error = ""
        self.done = threading.Event()
        self._model = order.model
        command = [sys.executable, "-P", "-m", "engines.plans.child"]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asdict(order), default=str) + "\n")
        self._child.stdin.flush()  # and stays open: its end tells the child that this process is gone
        threading.Thread(target=self._read, name="plan-build", daemon=True).start()

    def cancel(self) -> None:
        self._child.kill()

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # a library may write there too
                    self._take(json.loads(line))
        code = self._child.wait()
        if self.plan is None and not self.error:
            how = f"signal {-code} (9: out of memory, or cancelled)" if code < 0 else f"code {code}"
            self.error = f"{self._model}: the process that built it ended with {how}"
        assert self._child.stdin is not None
        self._child.stdin.close()
        self.done.set()

    def _take(self, told: Any) -> None:
        match told:
            case {"share": float(share)}:
                self.share = share
            case {"plan": str(plan), "seconds": float(seconds)}:
                self.plan, self.seconds = Path(plan), seconds
            case {"error": str(error)}:
                self.error = error


def build(order: Order) -> tuple[Path, float]:
    """In this process, telling on stdout: the plan's file, and the seconds of TensorRT's own work.

    Raises:
        PlanError: in one line, why there is no plan.
    """
    trt = load_trt(order.module)
    store = Store(order.folder)
    onnx = onnx_sha256(order.model)
    started = said = time.monotonic()

    def report(share: float) -> None:
        nonlocal said
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            _say({"share": share})

    built = build_plan(trt, order.model, order.settings, timing=store.timing(order.target), report=report)
    seconds = time.monotonic() - started
    if order.precision not in (None, built.precision):
        raise PlanError(f"{order.model} computes in {built.precision}: fancam export makes {order.precision} of it")
    store.put_timing(order.target, built.timing)
    settings = order.settings
    key = Key(onnx, built.precision, built.size, settings.buckets, settings.level, settings.workspace_mib, order.target)
    return store.put(key, built.ports, built.data), seconds


def built_already(order: Order) -> bool:
    """Whether a plan lies there that this order would make again.

    Raises:
        PlanError: the file cannot be read.
    """
    settings, onnx = order.settings, onnx_sha256(order.model)
    wanted = (onnx, settings.buckets, settings.level, settings.workspace_mib, order.target)
    return any(
        (key.onnx, key.buckets, key.level, key.workspace_mib, key.target) == wanted
        and settings.size in (None, key.size)
        and order.precision in (None, key.precision)
        for key in Store(order.folder).built()
    )


def order_anew(model: Path, target: Target, store: Store, otherwise: Settings, module: str = "tensorrt") -> Order:
    """What builds the plan of `model` for `target`: as the nearest that there is of it was built, or by `otherwise`.

    Raises:
        PlanError: the file cannot be read.
    """
    onnx = onnx_sha256(model)
    found = [key for key in store.built() if key.onnx == onnx]
    if not found:
        return Order(model, target, otherwise, store.folder, module)
    key = min(found, key=lambda key: len(target.differences(key.target)))
    settings = Settings(key.buckets, key.size, key.workspace_mib, key.level)
    return Order(model, target, settings, store.folder, module, key.precision)


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settings = asked["settings"]
    buckets = tuple((least, usual, most) for least, usual, most in settings["buckets"])
    size = tuple(settings["size"]) if settings["size"] else None
    order = Order(
        Path(asked["model"]), Target(**asked["target"]), Settings(**{**settings, "buckets": buckets, "size": size}),
        Path(asked["folder"]), asked["module"], asked["precision"],
    )  # fmt: skip
    try:
        plan, seconds = build(order)
        _say({"plan": str(plan), "seconds": seconds})
    except PlanError as error:
        _say({"error": str(error)})


if __name__ == "__main__":
    main()
