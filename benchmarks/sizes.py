"""How long does a picture take in each size of network, and how much of what the machine could do is that?

The roofline comes first: the ceilings measured in the same run, and from them the least time of each network. Then each stage from a frame
in memory to its boxes, beside what YOLOv5's own table says of a V100 (batch 32, 1280 px). Without --nets: n and s. Networks are read from
--onnx (yolov5n-fp32.onnx …) or, where torch is installed, made there.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from benchmarks.report import ROOT, write_result
from benchmarks.speed.ceilings import cpu_ceiling, gpu_ceiling, torch_times
from benchmarks.speed.measure import CPU_KINDS, Measured, measure
from benchmarks.speed.table import compared, markdown, save_plot
from client.cli.main import Failure
from engines.plans.gpu import read_gpu, read_state
from engines.plans.store import PlanError
from engines.runtimes import RuntimeFailure, RuntimeKind, trouble
from engines.train.networks.cost import HALF, Ceiling, costs, floor_ms
from engines.train.networks.layout import NETS, layout

YOLOV5_V100_MS: Final = {"s6": 4.3, "m6": 8.4, "l6": 12.3, "x6": 22.4}
"""At batch 32, 1280 px, on a V100, pre-processing and suppression included: the table that YOLOv5 published."""
PACKAGES: Final = ("openvino", "onnxruntime", "numpy", "opencv-python-headless", "torch", "tensorrt")


def network(net: str, folder: Path, precision: str) -> Path:
    """The ONNX file of one of `NETS`, made when it is not there.

    Raises:
        RuntimeFailure: it is not there, and torch is not installed.
    """
    path = folder / f"yolov5{net}-{precision}.onnx"
    if path.is_file():
        return path
    try:
        from client.cli.export import write_converted

        folder.mkdir(parents=True, exist_ok=True)
        write_converted(f"yolov5{net}", path, precision)
    except ModuleNotFoundError as error:
        raise RuntimeFailure(
            f"{path} is not there and {error.name} is not installed: fancam export yolov5{net} --out {path}"
        ) from None
    return path


def row_of(
    net: str, batch: int, ceiling: Ceiling, value_bytes: int, found: Measured, beside: dict[str, float]
) -> dict[str, Any]:
    """`beside`: eager and compiled torch's times, where they ran."""
    side = layout(net).side
    floor = floor_ms(costs(layout(net), side), ceiling, batch, value_bytes)
    total = found.percentile(50)
    return {
        "net": net, "side": side, "batch": batch, "floor_ms": floor,
        **{f"{name}_ms": value for name, value in found.stages._asdict().items()},
        "total_ms": total, "fps": 1e3 / total,
        **{f"p{share}_ms": found.percentile(share) for share in (50, 95, 99)},
        "share_of_floor": floor / total, "memory_mib": found.memory_mib, "boxes": found.boxes, "rounds": len(found.rounds),
        "ready_s": found.ready_s, "sm_mhz": found.sm_mhz,
        "eager_ms": beside.get("eager_ms"), "compiled_ms": beside.get("compiled_ms"), "v100_ms": YOLOV5_V100_MS.get(net),
    }  # fmt: skip


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def gpu_now() -> dict[str, Any] | None:
    """The GPU, its clocks and memory in use; None where there is none."""
    try:
        return {**{key: getattr(read_gpu(), key) for key in ("name", "driver", "capability", "memory_mib")},
                **{key: getattr(read_state(), key) for key in ("sm_mhz", "memory_mhz", "used_mib")}}  # fmt: skip
    except PlanError:
        return None


def compare(before: Path, after: Path) -> None:
    try:
        print(compared(*(json.loads(path.read_text())["rows"] for path in (before, after))))
    except (OSError, ValueError, KeyError) as error:
        raise typer.BadParameter(f"not two results of bench sizes: {error}", param_hint="--compare") from None


def asked_nets(nets: str) -> list[str]:
    names = nets.split(",")
    if unknown := [name for name in names if name not in NETS]:
        raise typer.BadParameter(f"no net {unknown[0]!r}: of {', '.join(NETS)}", param_hint="--nets")
    return names


def times_beside(net: str, batches: list[int], folder: Path) -> dict[int, dict[str, float]]:
    """Eager and compiled torch's by batch; none where torch fails, which is said."""
    try:
        return torch_times(net, batches, folder)
    except RuntimeFailure as error:
        print(f"{net}, eager and compiled torch: not run: {error}")
        return {}


def ceiling_of(on_cpu: bool, threads: int) -> tuple[Ceiling, dict[str, str] | None]:
    """And on a GPU the versions of what measured it."""
    if on_cpu:
        return cpu_ceiling(threads), None
    try:
        return gpu_ceiling()
    except RuntimeFailure as error:
        raise Failure(f"the GPU's ceilings are measured by torch: {error}") from error


def command(
    nets: Annotated[str, typer.Option(help="Of n,s,m,l,x (640 px) and n6,s6,m6,l6,x6 (1280 px).")] = "n,s",
    batch: Annotated[str, typer.Option(help="Batches; on a CPU one picture goes at a time.")] = "1",
    runtime: Annotated[str, typer.Option(help="openvino, onnxruntime, tensorrt or torch_cuda.")] = "openvino",
    int8: Annotated[bool, typer.Option("--int8", help="tensorrt: the int8 plans instead of fp16.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="On a CPU.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each net and batch.")] = 5.0,
    onnx: Annotated[Path, typer.Option(help="Folder with the networks.")] = Path(".cache/nets"),
    out: Annotated[
        Path | None, typer.Option(help="Folder for JSON, Markdown and plot; else benchmarks/results, or here.")
    ] = None,
    compare_files: Annotated[
        tuple[Path, Path] | None, typer.Option("--compare", metavar="A.json B.json", help="Only compare two results.")
    ] = None,
) -> None:
    if compare_files:
        return compare(*compare_files)
    if runtime not in get_args(RuntimeKind):
        raise typer.BadParameter(f"no runtime {runtime!r}: {', '.join(get_args(RuntimeKind))}", param_hint="--runtime")
    names, batches, on_cpu = asked_nets(nets), [int(part) for part in batch.split(",")], runtime in CPU_KINDS
    if not on_cpu and (why := trouble(runtime)):  # type: ignore[arg-type]
        raise Failure(why)
    value_bytes = 4 if on_cpu else HALF
    ceiling, torch_versions = ceiling_of(on_cpu, threads)
    print(f"ceiling, measured: {ceiling.flops / 1e9:.0f} GFLOP/s, {ceiling.bytes / 1e9:.1f} GB/s")
    for net in names:
        passes = costs(layout(net), layout(net).side)
        print(
            f"floor {net}: "
            + ", ".join(f"{floor_ms(passes, ceiling, b, value_bytes):.3g} ms at batch {b}" for b in batches)
        )
    rows: list[dict[str, Any]] = []
    told = {"runtime": runtime, "threads": threads if on_cpu else None, "gpu": gpu_now(), "versions": versions(),
            "ceiling": ceiling._asdict(), "torch": torch_versions, "rows": rows}  # fmt: skip
    for net in names:
        beside = {} if on_cpu else times_beside(net, batches, onnx)
        for size in batches:
            try:
                precision = "fp32" if runtime != "tensorrt" else "int8" if int8 else "fp16"
                model = network(net, onnx, precision)
                found = measure(model, layout(net).side, runtime, size, threads, seconds)  # type: ignore[arg-type]
            except (RuntimeFailure, ValueError) as error:
                print(f"{net}, batch {size}: not run: {error}")
                continue
            rows.append(row_of(net, size, ceiling, value_bytes, found, beside.get(size, {})))
            print(markdown(rows[-1:]).splitlines()[-1], flush=True)
            _write(f"sizes_{runtime}", told, out)  # a run that is ended leaves what it has
    if not rows:
        raise typer.Exit(1)
    print("\n" + markdown(rows))


def _write(name: str, told: dict[str, Any], out: Path | None) -> None:
    checkout = (ROOT / "pyproject.toml").is_file()
    folder = out or (ROOT / "benchmarks" / "results" if checkout else Path.cwd())
    folder.mkdir(parents=True, exist_ok=True)
    write_result(name, told, folder)
    (folder / f"{name}.md").write_text(markdown(told["rows"]))
    save_plot(folder / f"{name}.png", told["rows"], f"{told['runtime']}: milliseconds a picture")
