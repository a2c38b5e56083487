"""`fancam train`: train the default face network on labelled pictures and drawn scenes."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.main import Failure


def command(
    what: Annotated[str, typer.Argument(help="What to train: faces.")],
    data: Annotated[Path, typer.Option(help="Labels: a .jsonl file, or a folder with a train.jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint and the log.")],
    scenes: Annotated[
        int, typer.Option(min=0, help="Drawn scenes mixed in; they are drawn once, into OUT/scenes.")
    ] = 900,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Train for this long (pauses do not count).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Or train for this many steps.")] = None,
    stop_after: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after so many minutes, wherever the run is: --resume goes on.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in OUT.")] = False,
    start: Annotated[Path | None, typer.Option(help="Begin a new run with the weights of this checkpoint.")] = None,
    rate: Annotated[float, typer.Option(min=1e-6, help="The highest learning rate; less with --start.")] = 2e-3,
) -> None:
    if what != "faces":
        raise typer.BadParameter(f"{what!r}: only faces can be trained", param_hint="WHAT")
    if (minutes is None) == (steps is None):
        raise typer.BadParameter("give one of --minutes and --steps", param_hint="--minutes")
    try:
        from engines.train import data as pictures
        from engines.train import scenes as drawn
        from engines.train import trainer, workers
    except ModuleNotFoundError as error:
        raise Failure(f"{error.name} is not installed: training needs pip install 'fancam[train]'") from None
    import logging
    import math
    import os

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        photos = pictures.read_labels(data)
        run = trainer.Trainer(out, trainer.Plan(steps=steps, minutes=minutes, learning_rate=rate), resume, start)
        extra = pictures.read_labels(drawn.draw(out / "scenes", scenes)) if scenes else []
        album = pictures.mixed_album(photos, extra)
        # On a CPU the trainer is slower than one process of batches; a GPU takes what all cores give.
        makers = max(1, (os.cpu_count() or 1) - 1) if run.device.type == "cuda" else 1
        stream = workers.parallel_batches(album, run.plan.seed, run.step, run.plan.batch_size, makers)
        run.run(stream, 60 * stop_after if stop_after else math.inf)
    except (pictures.DataError, workers.WorkerError, trainer.TrainingError) as error:
        raise Failure(str(error)) from None
    print(f"{out / trainer.CHECKPOINT}: {run.step} steps; fancam export turns it into ONNX")
