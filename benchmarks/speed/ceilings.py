"""What this machine reaches at most, measured in the same run: products of matrices and copies of memory.

On a CPU by numpy in a process of its own, since its number of threads is set before it is loaded; on a GPU by torch
(benchmarks/peers/torch_sizes.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from engines.runtimes import RuntimeFailure
from engines.train.networks.cost import Ceiling

NUMPY: Final = """
import json, time, numpy as np
def best(work, rounds=12):
    took = []
    for _ in range(rounds):
        start = time.perf_counter(); work(); took.append(time.perf_counter() - start)
    return min(took)
side = 1536
a, b, c = (np.ones((side, side), np.float32) for _ in range(3))
big, copy = np.ones(1 << 26, np.float32), np.empty(1 << 26, np.float32)
flops = 2 * side**3 / best(lambda: np.matmul(a, b, out=c))
print(json.dumps({"flops": flops, "bytes": 2 * big.nbytes / best(lambda: np.copyto(copy, big))}))
"""
TORCH_SIZES: Final = Path(__file__).parents[1] / "peers" / "torch_sizes.py"


def cpu_ceiling(threads: int) -> Ceiling:
    """In float32, on so many threads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    told = _json([sys.executable, "-c", NUMPY], {name: str(threads) for name in names})
    return Ceiling(told["flops"], told["bytes"])


def gpu_ceiling() -> tuple[Ceiling, dict[str, str]]:
    """In half precision, and the versions of what measured it.

    Raises:
        RuntimeFailure: torch fails.
    """
    told = _ask_torch([], {})
    return Ceiling(told["flops"], told["bytes"]), told["versions"]


def torch_times(net: str, batches: list[int], folder: Path) -> dict[int, dict[str, float]]:
    """By batch, ms a picture of the network alone in eager and compiled torch as it comes; what it compiles stays in `folder`.

    Raises:
        RuntimeFailure: torch fails, for want of memory, say.
    """
    words = ["--net", net, "--batch", ",".join(map(str, batches))]
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "TORCHINDUCTOR_MAX_AUTOTUNE": "0"}
    return {row["batch"]: row for row in _ask_torch(words, environment)["rows"]}


def _ask_torch(words: list[str], environment: dict[str, str]) -> Any:
    """In a process of its own."""
    try:
        return _json(
            [sys.executable, str(TORCH_SIZES), *words], environment | {"PYTHONPATH": str(TORCH_SIZES.parents[2])}
        )
    except subprocess.CalledProcessError as error:
        raise RuntimeFailure(f"torch ended with {error.returncode}") from error


def _json(command: list[str], environment: dict[str, str]) -> Any:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **environment})
    return json.loads(done.stdout.splitlines()[-1])
