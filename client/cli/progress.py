"""Progress of long verbs: a bar with an ETA on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PLAIN_INTERVAL_S: Final = 5.0


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call with how much is done and of how much (0 when unknown); writes to stderr."""
    if sys.stderr.isatty():
        with _bar(what, unit) as update:
            yield update
    else:
        yield _plain(what, unit)


@contextmanager
def _bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=max(of, done) if of else None)


def _plain(what: str, unit: str) -> Callable[[int, int], None]:
    started = said = time.monotonic()

    def update(done: int, of: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said < PLAIN_INTERVAL_S:
            return
        said = now
        rate = done / (now - started)
        left = f" of {of}, about {(of - done) / rate:.0f} s left" if of > done and rate else ""
        print(f"{what}: {done}{left} ({rate:.1f} {unit}/s)", file=sys.stderr, flush=True)

    return update
