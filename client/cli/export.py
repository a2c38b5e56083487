"""`fancam export`: a trained checkpoint as ONNX, in f32 or int8."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.main import Failure


def command(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint.pt that fancam train has written.")],
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Quantise; needs --calibrate.")] = False,
    calibrate: Annotated[Path | None, typer.Option(help="Labels of training pictures whose ranges int8 takes.")] = None,
    scores: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="SLOPE OFFSET", help="Scale of the scores' logits, so that thresholds mean what they did."
        ),
    ] = (1.0, 0.0),
) -> None:
    if int8 != (calibrate is not None):
        raise typer.BadParameter("--int8 and --calibrate go together", param_hint="--int8")
    if not out.parent.is_dir():
        raise Failure(f"cannot write {out}: there is no folder {out.parent}; make it first")
    try:
        from engines.train import data, export
    except ModuleNotFoundError as error:
        raise Failure(f"{error.name} is not installed: exporting needs pip install 'fancam[train]'") from None
    try:
        network = export.load_network(checkpoint)
        export.rescale_scores(network, *scores)
        if calibrate is None:
            export.write_onnx(network, out)
        else:
            export.write_int8(network, out, data.Album(data.read_labels(calibrate)))
    except (data.DataError, export.ExportError) as error:
        raise Failure(str(error)) from None
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
