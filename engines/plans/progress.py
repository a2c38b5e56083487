"""How far a build is, by TensorRT's progress monitor: nested phases of steps, told from several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

Report = Callable[[float], None]
"""How much is done, 0 to 1."""


class Cancelled(Exception):
    """The build was given up, as asked."""


class Phases:
    """The phases that run, and how much of the outermost one is done."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[str | None, int, int]] = {}  # name → parent, steps done, steps
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._running[name] = (parent, 0, max(1, steps))

    def step(self, name: str, step: int) -> None:
        """Step number `step`, counted from 0, is complete."""
        with self._lock:
            if name in self._running:
                parent, _, steps = self._running[name]
                self._running[name] = (parent, min(step + 1, steps), steps)

    def finish(self, name: str) -> None:
        with self._lock:
            self._running.pop(name, None)

    def now(self) -> float | None:
        """The outermost phase's share, with the shares of those within it; None between phases."""
        with self._lock:
            roots = [name for name, (parent, _, _) in self._running.items() if parent not in self._running]
            return self._share(roots[0]) if roots else None

    def _share(self, name: str) -> float:
        _, done, steps = self._running[name]
        within = max(
            (self._share(child) for child, (parent, _, _) in self._running.items() if parent == name), default=0.0
        )
        return min(1.0, (done + within) / steps)


def monitor(trt: ModuleType, report: Report) -> Any:
    """A progress monitor of the module `trt` that calls `report`; its `cancelled` says whether that raised KeyboardInterrupt,
    upon which the build ends."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases = Phases()
            self.cancelled = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.phases.step(phase_name, step)
            try:
                if (now := self.phases.now()) is not None:
                    report(now)
            except KeyboardInterrupt:  # no exception may pass into TensorRT
                self.cancelled = True
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            self.phases.finish(phase_name)

    return Monitor()
