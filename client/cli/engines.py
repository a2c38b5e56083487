"""`fancam engines build | list`: TensorRT plans of networks, for this GPU."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from client.cli.main import Failure
from client.cli.verb import group

APP = group("engines")
LIBRARY: Final = "tensorrt"
POLL_S: Final = 0.2
Folder = Annotated[Path | None, typer.Option(help="Folder of the plans; else ~/.cache/fancam/plans.")]


@contextmanager
def failing() -> Iterator[None]:
    from engines.models.onnx_file import BadModel
    from engines.plans.store import PlanError

    try:
        yield
    except (PlanError, BadModel) as error:
        raise Failure(str(error)) from None


@APP.command(help="Build the plan of an ONNX file, in the precision that it has.")
def build(
    model: Annotated[str, typer.Argument(help="An .onnx file, a name from `fancam models list`, or yolov5.")],
    sizes: Annotated[
        str, typer.Option(help="Sizes of yolov5 to build, with random weights, to measure: n,s,m,l,x,n6,s6,m6,l6,x6.")
    ] = "",
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Build yolov5 in fp16; refuse a file in another precision.")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="The same in int8.")] = False,
    batch: Annotated[str, typer.Option(help="Largest batches, one profile each.")] = "1,8,32",
    side: Annotated[int, typer.Option(min=0, help="Side of the pictures in px, for a network that takes any.")] = 0,
    workspace: Annotated[int, typer.Option(min=0, help="Most GPU memory while building, MiB; 0: no limit.")] = 0,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build a plan that is there anew.")] = False,
    folder: Folder = None,
) -> None:
    if fp16 and int8:
        raise typer.BadParameter("--fp16 and --int8 are two plans", param_hint="--fp16")
    if (model == "yolov5") != bool(sizes):
        raise typer.BadParameter("yolov5 goes with --sizes, and nothing else does", param_hint="--sizes")
    from engines.plans.build import Settings
    from engines.plans.key import buckets_of

    try:
        buckets = buckets_of([int(part) for part in batch.split(",")])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--batch") from None
    settings = Settings(buckets, (side, side) if side else None, workspace)
    precision = "fp16" if fp16 else "int8" if int8 else None
    with failing():
        target, there = _opened(folder)
        for file in _files(model, sizes, precision, there.folder):
            _build(file, target, settings, there, precision, rebuild)


@APP.command("list", help="The plans there are, and whether they serve here.")
def list_plans(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False, folder: Folder = None
) -> None:
    from engines.plans.store import Store

    with failing():
        keys = Store(folder).built()
    if json:
        print(jsonlib.dumps([asdict(key) for key in keys], indent=1))
        return
    for key in keys:
        height, width = key.size
        batches = ", ".join(str(most) for _, _, most in key.buckets)
        print(f"{key.onnx[:12]}  {key.precision}  {width} × {height}  batches {batches}  {_where(key.target)}")


def _opened(folder: Path | None) -> tuple[Any, Any]:
    """What to build for, and where plans lie."""
    from engines.plans.gpu import read_gpu
    from engines.plans.store import Store
    from engines.plans.trt import load_trt, target_of

    trt = load_trt(LIBRARY)
    return target_of(trt, read_gpu()), Store(folder)


def _where(target: Any) -> str:
    return ", ".join(part for part in (target.device or "no GPU", target.tensorrt, f"driver {target.driver}") if part)


def _files(model: str, sizes: str, precision: str | None, folder: Path) -> Iterator[Path]:
    if not sizes:
        yield _file(model)
        return
    for size in sizes.split(","):
        path = folder / f"yolov5{size}-{precision or 'fp32'}.onnx"
        if not path.is_file():
            _export(f"yolov5{size}", path, precision or "fp32")
        yield path


def _file(model: str) -> Path:
    if "." in model or "/" in model:
        return Path(model)
    from client.cli.models import registry
    from engines.models import default_face_model
    from engines.models.registry import BUILT_IN

    return default_face_model() if model == BUILT_IN else registry().path(model)


def _export(net: str, path: Path, precision: str) -> None:
    try:
        from client.cli.export import write_converted
        from engines.train.export import ExportError
    except ModuleNotFoundError as error:
        raise Failure(
            f"{error.name} is not installed: {net} is made by pip install -e '.[train]' in the checkout"
        ) from None
    try:
        write_converted(net, path, precision)
    except ExportError as error:
        raise Failure(str(error)) from None


def _build(file: Path, target: Any, settings: Any, there: Any, precision: Any, rebuild: bool) -> None:
    from client.cli.progress import progress
    from engines.plans.child import Building, Order, built_already

    order = Order(file, target, settings, there.folder, LIBRARY, precision)
    if not rebuild and built_already(order):
        print(f"{file.name}: its plan is there, for {_where(target)}")
        return
    building = Building(order)
    try:
        with progress(file.name, "%") as update:
            while not building.done.wait(POLL_S):
                update(round(100 * building.share), 100)
    finally:
        building.cancel()
    if building.plan is None:
        raise Failure(building.error)
    print(f"{file.name}: {building.plan} in {building.seconds:.1f} s, {building.plan.stat().st_size / 1e6:.1f} MB")
