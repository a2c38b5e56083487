"""The training loop: batches from a process beside it, AdamW under a cosine, a moving average, checkpoints to resume from."""

import json
import logging
import math
import multiprocessing
import os
import queue
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.train.assign import Targets
from engines.train.data import Album, Batch, batches
from engines.train.losses import face_loss
from engines.train.network import FaceNet, flatten, places

log = logging.getLogger(__name__)

LEARNING_RATE, BETAS, WEIGHT_DECAY = 2e-3, (0.9, 0.99), 0.02
WARM_UP_STEPS, FINAL_SHARE = 150, 0.02
GRADIENT_NORM_MAX = 10.0
EMA_DECAY = 0.9995
QUEUE_BATCHES, BATCH_TIMEOUT_S = 4, 300.0
LOG_EVERY_STEPS, SAVE_EVERY_S = 50, 60.0
CHECKPOINT, LOG_FILE = "checkpoint.pt", "log.jsonl"


class TrainingError(Exception):
    """A run that cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """How long a run lasts: by `steps`, or by `minutes` of running time (pauses between resumes do not count)."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch_size: int = 32  # at 320 px
    threads: int = field(default_factory=lambda: max(1, min(4, (os.cpu_count() or 1) - 1)))  # one core makes batches
    bfloat16: bool = True

    def progress(self, step: int, ran_s: float) -> float:
        """0 at the start, 1 at the end."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        if self.minutes is not None:
            return min(1.0, ran_s / (60 * self.minutes))
        raise TrainingError("say how long to train: steps or minutes")


def learning_rate(step: int, progress: float) -> float:
    """Linear warm-up, then a cosine down to `FINAL_SHARE` at progress 1."""
    cosine = FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2
    return LEARNING_RATE * cosine * min(1.0, (step + 1) / WARM_UP_STEPS)


def make_optimizer(network: nn.Module) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices and kernels only."""
    parameters = list(network.parameters())
    return torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=BETAS,
    )


class MovingAverage:
    """Exponential moving average of a network's weights and statistics, quick at first."""

    def __init__(self, network: nn.Module) -> None:
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        now = network.state_dict()
        keys = [k for k, v in now.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.state[k] for k in keys], [now[k] for k in keys], 1 - decay)


def _produce(album: Album, seed: int, first_step: int, batch_size: int, out: multiprocessing.Queue) -> None:
    os.nice(1)
    for batch in batches(album, seed, first_step, batch_size):
        out.put(batch)


def _wait(made: multiprocessing.Queue, worker: multiprocessing.process.BaseProcess) -> Batch:
    deadline = time.monotonic() + BATCH_TIMEOUT_S
    while True:
        alive = worker.is_alive()
        try:
            return made.get(timeout=1.0)
        except queue.Empty:
            if not alive:
                raise TrainingError(f"the process that makes batches ended with {worker.exitcode}; see above") from None
            if time.monotonic() > deadline:
                raise TrainingError(f"the process that makes batches gave none for {BATCH_TIMEOUT_S:.0f} s") from None


def parallel_batches(album: Album, plan: Plan, first_step: int) -> Iterator[Batch]:
    """`batches`, made in a process of their own; ends it when closed."""
    context = multiprocessing.get_context("spawn")
    made: multiprocessing.Queue = context.Queue(QUEUE_BATCHES)
    worker = context.Process(
        target=_produce, args=(album, plan.seed, first_step, plan.batch_size, made), daemon=True, name="batches"
    )
    worker.start()
    try:
        while True:
            yield _wait(made, worker)
    finally:
        worker.terminate()
        worker.join()


def to_targets(batch: Batch) -> Targets:
    """The truth of a batch as tensors."""
    return Targets(
        *(
            torch.from_numpy(a)
            for a in (batch.boxes, batch.picture, batch.landmarks, batch.ignore, batch.ignore_picture)
        )
    )


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, bfloat16: bool) -> dict[str, Tensor]:
    """One step on a batch; returns the losses before it."""
    height, width = batch.y.shape[-2:]
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        maps = network(torch.from_numpy(batch.y), torch.from_numpy(batch.uv))
    losses = face_loss(flatten(maps), to_targets(batch), *places(height, width))
    optimizer.zero_grad(set_to_none=True)
    losses["total"].backward()
    nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM_MAX)
    optimizer.step()
    return {k: v.detach() for k, v in losses.items()}


class Trainer:
    """A run in a folder: `CHECKPOINT` (everything needed to go on) and `LOG_FILE` (one JSON line every few steps)."""

    def __init__(self, folder: Path, plan: Plan, resume: bool = False) -> None:
        self.folder, self.plan = folder, plan
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.network = FaceNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.network)
        self.average = MovingAverage(self.network)
        self.step, self.ran_s = 0, 0.0
        if resume:
            self._load()
        elif (folder / CHECKPOINT).exists():
            raise TrainingError(f"{folder / CHECKPOINT} exists: resume it, or choose another folder")

    def _load(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.is_file():
            raise TrainingError(f"nothing to resume: {path} does not exist")
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.state = state["average"]
        self.step, self.ran_s = state["step"], state["ran_s"]

    def save(self) -> None:
        """Write the checkpoint aside, then rename: a kill leaves the old one or the new one."""
        aside = self.folder / (CHECKPOINT + ".part")
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state,
                "step": self.step,
                "ran_s": self.ran_s,
                "plan": asdict(self.plan),
            },
            aside,
        )
        os.replace(aside, self.folder / CHECKPOINT)

    def run(self, stream: Iterator[Batch]) -> None:
        """Train to the end of the plan on batches that start at `self.step`."""
        self.network.train()
        before_s, started, saved = self.ran_s, time.monotonic(), time.monotonic()
        sums: dict[str, float] = {}
        summed = 0
        for batch in stream:
            progress = self.plan.progress(self.step, self.ran_s)
            if progress >= 1:
                break
            rate = learning_rate(self.step, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = train_step(self.network, self.optimizer, batch, self.plan.bfloat16)
            self.average.update(self.network, self.step)
            self.step += 1
            self.ran_s = before_s + time.monotonic() - started
            sums = {name: sums.get(name, 0.0) + float(value) for name, value in losses.items()}
            summed += 1
            if not math.isfinite(sums["total"]):
                raise TrainingError(f"the loss is not finite at step {self.step}; resume from the last checkpoint")
            if self.step % LOG_EVERY_STEPS == 0:
                self._note({k: v / summed for k, v in sums.items()}, rate, progress)
                sums, summed = {}, 0
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()
        self.save()

    def _note(self, losses: dict[str, float], rate: float, progress: float) -> None:
        row = {
            "step": self.step,
            "ran_s": round(self.ran_s, 1),
            "cpu_s": round(time.process_time(), 1),
            "lr": round(rate, 7),
        }
        row |= {k: round(v, 4) for k, v in losses.items()}
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        left_min = self.ran_s * (1 - progress) / max(progress, 1e-6) / 60
        log.info(
            "step %d, loss %.3f, %.0f %%, about %.0f min left", self.step, losses["total"], 100 * progress, left_min
        )
