"""A YOLOv5 network in plain torch, eager and compiled, fp16 and channels last on a GPU; or the GPU's ceilings.

Run by `fancam bench sizes` on a GPU, in the environment that has torch. Prints one line of JSON. On a CPU it computes in float32 and
compiles nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from engines.train.networks.yolov5 import fuse, random_network

ROUNDS, WARM_ROUNDS = 30, 5
CUDA = torch.cuda.is_available()
DEVICE, DTYPE = ("cuda", torch.float16) if CUDA else ("cpu", torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", help="Instead of the GPU's ceilings the times of this one.")
    parser.add_argument("--batch", default="1")
    asked = parser.parse_args()
    told = {"rows": of_net(asked.net, [int(b) for b in asked.batch.split(",")])} if asked.net else ceilings()
    versions = {
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }
    print(json.dumps({**told, "versions": versions}))


@torch.inference_mode()
def of_net(net: str, batches: list[int]) -> list[dict[str, Any]]:
    network: Any = fuse(random_network(net)).to(DEVICE, DTYPE, memory_format=torch.channels_last)
    side = network.layout.side
    rows = []
    for batch in batches:
        pictures = torch.rand(batch, 3, side, side, device=DEVICE, dtype=DTYPE).to(memory_format=torch.channels_last)
        row = {"batch": batch, "eager_ms": median_ms(lambda at=pictures: network(at)) / batch}
        if CUDA:
            torch._dynamo.reset()
            compiled = torch.compile(network, dynamic=False)
            row["compiled_ms"] = median_ms(lambda at=pictures, run=compiled: run(at)) / batch
        rows.append(row)
    return rows


def ceilings() -> dict[str, float]:
    side = 8192 if CUDA else 1024
    a, b = (torch.randn(side, side, device=DEVICE, dtype=DTYPE) for _ in range(2))
    big = torch.empty((4 << 30) if CUDA else (1 << 28), dtype=torch.uint8, device=DEVICE)
    copy = torch.empty_like(big)
    return {
        "flops": 2 * side**3 / (median_ms(lambda: a @ b) / 1e3),
        "bytes": 2 * big.numel() / (median_ms(lambda: copy.copy_(big)) / 1e3),
    }


def median_ms(work: Callable[[], object]) -> float:
    for _ in range(WARM_ROUNDS if CUDA else 1):
        work()
    took = []
    for _ in range(ROUNDS if CUDA else 5):
        _wait()
        started = time.perf_counter()
        work()
        _wait()
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1e3


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
