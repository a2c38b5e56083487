"""How long does a TensorRT plan of each network take to build, and how large is it?

`fancam bench plans FOLDER` builds each ONNX file there, one profile a batch, in a process of its own: with TensorRT for this GPU, or where
there is none with TensorRT for RTX, which builds on a CPU (and whose plans nothing here runs).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import write_result
from engines.plans.build import Settings
from engines.plans.child import Building, Order
from engines.plans.gpu import read_gpu
from engines.plans.key import buckets_of
from engines.plans.store import PlanError, Store
from engines.plans.trt import load_trt, target_of

RTX = "tensorrt_rtx_bindings"


def built(model: Path, order: Order) -> dict[str, Any]:
    building = Building(order)
    building.done.wait()
    if building.plan is None:
        return {"model": model.stem, "error": building.error}
    (key,) = Store(order.folder).built()
    return {
        "model": model.stem,
        "precision": key.precision,
        "size": list(key.size),
        "build_s": round(building.seconds, 1),
        "plan_mb": round(building.plan.stat().st_size / 1e6, 1),
        "onnx_mb": round(model.stat().st_size / 1e6, 1),
    }


def command(
    folder: Annotated[Path, typer.Argument(help="With ONNX files: fancam export.")],
    batch: Annotated[str, typer.Option(help="Largest batches, one profile each.")] = "1,8,32",
    side: Annotated[int, typer.Option(help="Of the pictures, px, for networks that take any.")] = 640,
) -> None:
    try:
        library, gpu = "tensorrt", read_gpu()
    except PlanError:
        library, gpu = RTX, None
    try:
        target = target_of(load_trt(library), gpu)
    except PlanError as error:
        raise typer.BadParameter(str(error), param_hint="TensorRT") from None
    buckets = buckets_of([int(part) for part in batch.split(",")])
    print(f"{target.tensorrt}, {target.device or 'no GPU: plans are built and not run'}")
    rows = []
    for model in sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_size):
        with tempfile.TemporaryDirectory() as plans:
            for size in (None, (side, side)):
                row = built(model, Order(model, target, Settings(buckets, size), Store(Path(plans)).folder, library))
                if "--side" not in row.get("error", ""):
                    break
        rows.append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    write_result("plans", {"library": target.tensorrt, "gpu": target.device or None, "buckets": buckets, "rows": rows})
