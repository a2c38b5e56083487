"""For the runtime: the plan of an ONNX file, here."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from engines.disk import sha256_of
from engines.plans.gpu import read_gpu
from engines.plans.store import Plan, PlanError, Store
from engines.plans.trt import target_of


def load_plan(trt: ModuleType, model: Path, size: tuple[int, int] | None = None) -> Plan:
    """The plan of the ONNX file `model` for this library, driver and GPU, its signature checked. `Plan.key.buckets` are its
    profiles, in order; `Plan.data` goes to `Runtime.deserialize_cuda_engine`.

    Raises:
        NoPlan: there is none, or one for elsewhere; the line says what differs.
        PlanError: no driver or GPU; the folder or the file is not to be trusted.
    """
    return Store().find(onnx_sha256(model), target_of(trt, read_gpu()), size)


def onnx_sha256(model: Path) -> str:
    """Raises `PlanError`: it cannot be read."""
    try:
        return sha256_of(model)
    except OSError as error:
        raise PlanError(f"cannot read {model}: {error.strerror}") from error
