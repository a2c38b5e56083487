"""`fancam export`: a checkpoint, a network to measure with or an ONNX file, as ONNX in f32, fp16 or int8."""

from pathlib import Path
from typing import Annotated, Any

import typer

from client.cli.main import Failure


def command(
    what: Annotated[
        str,
        typer.Argument(
            help="A checkpoint.pt of fancam train; yolov5n to yolov5x6, with random weights; or an fp32 .onnx file."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    form: Annotated[str, typer.Option("--format", help="onnx is all there is.")] = "onnx",
    fp16: Annotated[bool, typer.Option("--fp16", help="For GPUs: halves throughout.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Quantise: for CPUs from a checkpoint, else for GPUs (Q/DQ).")
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Labels of training pictures whose ranges int8 takes; else, for GPUs, drawn scenes."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="Family of an .onnx file that leaves open how it wants its pictures.")
    ] = None,
    scores: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="SLOPE OFFSET", help="Scale of the scores' logits, so that thresholds mean what they did."
        ),
    ] = (1.0, 0.0),
) -> None:
    checkpoint = not what.endswith(".onnx") and not what.startswith("yolov5")
    if form != "onnx":
        raise typer.BadParameter(f"{form!r}: onnx is all there is", param_hint="--format")
    if fp16 and int8:
        raise typer.BadParameter("--fp16 and --int8 are two files", param_hint="--fp16")
    if checkpoint and (fp16 or int8 != (calibrate is not None)):
        raise typer.BadParameter("of a checkpoint: --int8 and --calibrate go together, no --fp16", param_hint="--int8")
    if not out.parent.is_dir():
        raise Failure(f"cannot write {out}: there is no folder {out.parent}; make it first")
    try:
        from engines.train import data, export, formats
    except ModuleNotFoundError as error:
        raise Failure(
            f"{error.name} is not installed: exporting needs pip install -e '.[train]' in the checkout"
        ) from None
    try:
        album = data.Album(formats.read_any(calibrate)) if calibrate else None
        if checkpoint:
            _face(export, Path(what), out, scores, album)
        else:
            write_converted(what, out, "fp16" if fp16 else "int8" if int8 else "fp32", album, family)
    except (data.DataError, export.ExportError) as error:
        raise Failure(str(error)) from None
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def _face(export: Any, checkpoint: Path, out: Path, scores: tuple[float, float], album: Any) -> None:
    network = export.load_network(checkpoint)
    export.rescale_scores(network, *scores)
    if album is None:
        export.write_onnx(network, out)
    else:
        export.write_int8(network, out, album)


def write_converted(what: str, out: Path, precision: str, album: Any = None, family: str | None = None) -> None:
    """An .onnx file, or a network to measure with, in a precision; raises `ExportError`."""
    import tempfile

    from engines.train import precision as precisions
    from engines.train.export import ExportError
    from engines.train.networks.export import write_network

    if precision == "fp32" and what.endswith(".onnx"):
        raise ExportError(f"{what} is ONNX already: say --fp16 or --int8")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(what)
        if not what.endswith(".onnx"):
            source = out if precision == "fp32" else Path(folder, f"{what}.onnx")
            write_network(what.removeprefix("yolov5"), source)
        if precision == "fp16":
            difference = precisions.write_fp16(source, out, family)
        elif precision == "int8":
            difference = precisions.write_int8(source, out, album, family)
        else:
            return
    print(f"{precision}: off by {difference:.2g} of its outputs' deviation")
