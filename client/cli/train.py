"""`fancam train faces | tracker`: learn the weights that Fancam ships with, or one's own."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.main import Failure
from client.cli.verb import group

APP = group("train")


@APP.command(help="Train the face network on labelled pictures and drawn scenes.")
def faces(
    data: Annotated[
        Path,
        typer.Option(
            help="Labels: a .jsonl file or a folder with a train.jsonl; a COCO .json; a folder of YOLO or VOC labels."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the checkpoint, the log (log.jsonl) and the curves (curves.png).")
    ],
    face_class: Annotated[
        list[str] | None,
        typer.Option(help="A class of COCO, VOC or YOLO (its number) that is a face. May be repeated."),
    ] = None,
    scenes: Annotated[
        int, typer.Option(min=0, help="Drawn scenes mixed in; they are drawn once, into OUT/scenes.")
    ] = 900,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Train for this long (pauses do not count).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Or train for this many steps.")] = None,
    stop_after: Annotated[
        float | None, typer.Option(min=0.01, help="Stop after so many minutes, wherever the run is: --resume goes on.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in OUT.")] = False,
    start: Annotated[Path | None, typer.Option(help="Begin a new run with the weights of this checkpoint.")] = None,
    rate: Annotated[float, typer.Option(min=1e-6, help="The highest learning rate; less with --start.")] = 2e-3,
) -> None:
    if (minutes is None) == (steps is None):
        raise typer.BadParameter("give one of --minutes and --steps", param_hint="--minutes")
    try:
        from client.cli.progress import progress
        from engines.train import data as pictures
        from engines.train import formats, held_out, trainer, workers
        from engines.train import scenes as drawn
    except ModuleNotFoundError as error:
        raise Failure(
            f"{error.name} is not installed: training needs pip install -e '.[train]' in the checkout"
        ) from None
    import math
    import os

    try:
        photos, kept = held_out.split(formats.read_any(data, face_class or ()))
        run = trainer.Trainer(out, trainer.Plan(steps=steps, minutes=minutes, learning_rate=rate), resume, start)
        extra = pictures.read_labels(drawn.draw(out / "scenes", scenes)) if scenes else []
        album = pictures.mixed_album(photos, extra)
        # On a CPU the trainer is slower than one process of batches; a GPU takes what all cores give.
        makers = max(1, (os.cpu_count() or 1) - 1) if run.device.type == "cuda" else 1
        stream = workers.parallel_batches(album, run.plan.seed, run.step, run.plan.batch_size, makers)
        with progress("training", "steps") as update:
            run.run(stream, 60 * stop_after if stop_after else math.inf, update, held_out.HeldOut(kept))
    except (pictures.DataError, workers.WorkerError, trainer.TrainingError) as error:
        raise Failure(str(error)) from None
    print(f"{out / trainer.CHECKPOINT}: {run.step} steps; fancam export turns it into ONNX")


@APP.command(help="Learn which detections belong to a track, without torch.")
def tracker(
    data: Annotated[
        Path, typer.Option(help="Folder with seqinfo.json, SET/det and SET/gt, tables as of MOTChallenge.")
    ],
    out: Annotated[Path, typer.Option(help="File for the weights, .npz.")],
    name: Annotated[str, typer.Option("--set", help="Which set of the folder.")] = "dancetrack",
    without: Annotated[list[str] | None, typer.Option(help="Leave this sequence out. May be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn at random.")] = 0,
) -> None:
    import logging
    import os

    # Products this small take ten times as long on two threads as on one. Read when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import numpy as np

    from engines.track.kinds import PERSONS
    from engines.track.mot import BadTable
    from engines.train.tracker import train
    from engines.train.tracker_data import read_set

    if out.suffix != ".npz":
        raise typer.BadParameter(f"{out}: the file must end in .npz", param_hint="--out")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        sequences = read_set(data, name)
        unknown = set(without or ()) - set(sequences)
        if unknown:
            raise Failure(f"no sequence {', '.join(sorted(unknown))} of {name!r} in {data}")
        kept = [sequence for key, sequence in sequences.items() if key not in (without or ())]
        weights = train(kept, PERSONS, seed)
    except (BadTable, ValueError) as error:
        raise Failure(str(error)) from None
    aside = out.with_name(f".{out.stem}.part.npz")
    try:
        np.savez_compressed(aside, **weights)  # type: ignore[arg-type]
        aside.replace(out)
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}") from error
    print(f"{out}: learnt from {len(kept)} sequences; fancam track --weights uses it")
