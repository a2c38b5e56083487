"""The training loop: AdamW under a cosine, a moving average, checkpoints to resume from."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engines.train.assign import Targets
from engines.train.curves import save_curves
from engines.train.data import Batch
from engines.train.held_out import HeldOut
from engines.train.losses import face_loss
from engines.train.network import FaceNet, flatten, places

LEARNING_RATE, BETAS, WEIGHT_DECAY = 2e-3, (0.9, 0.99), 0.02
WARM_UP_STEPS, FINAL_SHARE = 150, 0.02
GRADIENT_NORM_MAX = 10.0
EMA_DECAY = 0.9995
LOG_EVERY_STEPS, SAVE_EVERY_S, JUDGE_EVERY_S = 50, 60.0, 300.0
CHECKPOINT, LOG_FILE, CURVES = "checkpoint.pt", "log.jsonl", "curves.png"


class TrainingError(Exception):
    """A run that cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """How long a run lasts: by `steps`, or by `minutes` of running time (pauses between resumes do not count)."""

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    batch_size: int = 32  # at 320 px
    threads: int = 1  # two gain nothing where the second core makes the batches
    bfloat16: bool = True
    learning_rate: float = LEARNING_RATE  # the highest; less where a run starts from trained weights

    def progress(self, step: int, ran_s: float) -> float:
        """0 at the start, 1 at the end."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        if self.minutes is not None:
            return min(1.0, ran_s / (60 * self.minutes))
        raise TrainingError("say how long to train: steps or minutes")

    def steps_in_all(self, step: int, ran_s: float) -> int:
        """As far as can be told at `step`; 0 at the start of a run by minutes."""
        progress = self.progress(step, ran_s)
        return self.steps or (round(step / progress) if progress else 0)


def learning_rate(highest: float, step: int, progress: float) -> float:
    """Linear warm-up to `highest`, then a cosine down to `FINAL_SHARE` of it at progress 1."""
    cosine = FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2
    return highest * cosine * min(1.0, (step + 1) / WARM_UP_STEPS)


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


def to_targets(batch: Batch, device: torch.device) -> Targets:
    """The truth of a batch as tensors."""
    arrays = (batch.boxes, batch.picture, batch.landmarks, batch.ignore, batch.ignore_picture)
    return Targets(*(torch.from_numpy(array).to(device) for array in arrays))


def batch_losses(network: nn.Module, batch: Batch, bfloat16: bool, device: torch.device) -> dict[str, Tensor]:
    """The losses of a batch under the network."""
    y, uv = (torch.from_numpy(plane).to(device) for plane in (batch.y, batch.uv))
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        maps = network(y, uv)
    centres, strides = (t.to(device) for t in places(*batch.y.shape[-2:]))
    return face_loss(flatten(maps), to_targets(batch, device), centres, strides)


class Trainer:
    """A run in a folder: `CHECKPOINT` (everything needed to go on), `LOG_FILE` (one JSON line every few steps) and `CURVES`."""

    def __init__(self, folder: Path, plan: Plan, resume: bool = False, start: Path | None = None) -> None:
        """`start` is a checkpoint whose averaged weights a new run begins with; a resumed one has its own."""
        self.folder, self.plan = folder, plan
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(plan.threads)
        torch.manual_seed(plan.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = FaceNet().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None and not resume:
            self._start_from(start)
        self.optimizer = make_optimizer(self.network)
        self.average = MovingAverage(self.network)
        self.step, self.ran_s = 0, 0.0
        if resume:
            self._load()
        elif (folder / CHECKPOINT).exists():
            raise TrainingError(f"{folder / CHECKPOINT} exists: resume it, or choose another folder")

    def _read(self, path: Path) -> dict:
        if not path.is_file():
            raise TrainingError(f"no checkpoint to go on from: {path} does not exist")
        return torch.load(path, map_location=self.device, weights_only=True)

    def _start_from(self, path: Path) -> None:
        try:
            self.network.start_from(self._read(path)["average"])
        except ValueError as error:
            raise TrainingError(f"{path} cannot be started from: {error}") from None

    def _load(self) -> None:
        state = self._read(self.folder / CHECKPOINT)
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError:
            raise TrainingError(
                f"{self.folder / CHECKPOINT} is of another version of the network: begin a new run with its weights (--start)"
            ) from None
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.state = state["average"]
        self.step, self.ran_s = state["step"], state["ran_s"]
        self._forget_after(self.step)

    def _forget_after(self, step: int) -> None:
        """Steps that a kill took back will be logged again."""
        path = self.folder / LOG_FILE
        if path.is_file():
            rows = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
            aside = path.with_name(path.name + ".part")
            aside.write_text("".join(line + "\n" for line in rows), encoding="utf-8")
            os.replace(aside, path)

    def save(self) -> None:
        """Write the checkpoint aside, then rename: a kill leaves the old one or the new one. The curves go with it."""
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
        save_curves(self.folder / LOG_FILE, self.folder / CURVES)

    def run(
        self,
        stream: Iterator[Batch],
        stop_after_s: float = math.inf,
        report: Callable[[int, int], None] = lambda step, of: None,
        held_out: HeldOut | None = None,
    ) -> None:
        """Train to the end of the plan, or for so long now, on batches that start at `self.step`; `report` is told of each step,
        and of how many. The log also says, every few minutes, how the averaged network does on `held_out`."""
        self.network.train()
        before_s, started, saved = self.ran_s, time.monotonic(), time.monotonic()
        judged_s = -math.inf
        sums: dict[str, float] = {}
        summed = 0
        for batch in stream:
            progress = self.plan.progress(self.step, self.ran_s)
            if progress >= 1 or time.monotonic() - started > stop_after_s:
                break
            rate = learning_rate(self.plan.learning_rate, self.step, progress)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            losses = self._learn(batch)
            self.average.update(self.network, self.step)
            self.step += 1
            self.ran_s = before_s + time.monotonic() - started
            report(self.step, self.plan.steps_in_all(self.step, self.ran_s))
            sums = {name: sums.get(name, 0.0) + float(value) for name, value in losses.items()}
            summed += 1
            if not math.isfinite(sums["total"]):
                raise TrainingError(f"the loss is not finite at step {self.step}; resume from the last checkpoint")
            if self.step % LOG_EVERY_STEPS == 0:
                row = {k: v / summed for k, v in sums.items()}
                if held_out and held_out.faces and self.ran_s - judged_s >= JUDGE_EVERY_S:
                    row["held_out_ap"], judged_s = held_out.average_precision(self._averaged()), self.ran_s
                self._note(row, rate)
                sums, summed = {}, 0
            if time.monotonic() - saved > SAVE_EVERY_S:
                self.save()
                saved = time.monotonic()
        self.save()

    def _averaged(self) -> FaceNet:
        network = FaceNet().to(self.device)
        network.load_state_dict(self.average.state)
        return network.eval()

    def _learn(self, batch: Batch) -> dict[str, Tensor]:
        losses = batch_losses(self.network, batch, self.plan.bfloat16, self.device)
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM_MAX)
        self.optimizer.step()
        return {name: value.detach() for name, value in losses.items()}

    def _note(self, losses: dict[str, float], rate: float) -> None:
        row = {
            "step": self.step,
            "ran_s": round(self.ran_s, 1),
            "cpu_s": round(time.process_time(), 1),
            "lr": round(rate, 7),
        }
        row |= {k: round(v, 4) for k, v in losses.items()}
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _step_of(line: str) -> float:
    """Of a line of the log; one that a kill cut off is of no step."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf
