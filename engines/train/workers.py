"""Batches made in processes beside the trainer, in the order of their steps."""

import multiprocessing
import os
import queue
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

from engines.train.data import Album, Batch, batches

QUEUE_BATCHES, BATCH_TIMEOUT_S, PARENT_LOOK_S = 4, 300.0, 2.0


class WorkerError(Exception):
    """The processes that make batches do not; the message says how they ended."""


def _produce(album: Album, seed: int, steps: range, batch_size: int, out: multiprocessing.Queue) -> None:
    os.nice(1)
    out.cancel_join_thread()  # nobody reads the rest
    for batch in batches(album, seed, steps, batch_size):
        while not _put(out, batch):
            parent = multiprocessing.parent_process()
            if parent is None or not parent.is_alive():  # killed: nobody ends this process for it
                return


def _put(out: multiprocessing.Queue, batch: Batch) -> bool:
    try:
        out.put(batch, timeout=PARENT_LOOK_S)
    except queue.Full:
        return False
    return True


def _wait(made: multiprocessing.Queue, worker: BaseProcess) -> Batch:
    deadline = time.monotonic() + BATCH_TIMEOUT_S
    while True:
        alive = worker.is_alive()
        try:
            return made.get(timeout=1.0)
        except queue.Empty:
            if not alive:
                raise WorkerError(f"the process that makes batches ended with {worker.exitcode}; see above") from None
            if time.monotonic() > deadline:
                raise WorkerError(f"the process that makes batches gave none for {BATCH_TIMEOUT_S:.0f} s") from None


def parallel_batches(album: Album, seed: int, first_step: int, batch_size: int, workers: int = 1) -> Iterator[Batch]:
    """The batches of `first_step` and on, without end; the processes end when the iterator is closed."""
    context = multiprocessing.get_context("spawn")
    lines: list[tuple[multiprocessing.Queue, BaseProcess]] = []
    for number in range(workers):
        made: multiprocessing.Queue = context.Queue(QUEUE_BATCHES)
        steps = range(first_step + number, 1 << 40, workers)
        worker = context.Process(target=_produce, args=(album, seed, steps, batch_size, made), daemon=True)
        worker.start()
        lines.append((made, worker))
    try:
        while True:
            for line, process in lines:
                yield _wait(line, process)
    finally:
        for _, process in lines:
            process.terminate()
            process.join()
