"""`fancam track`: detections of a video in, tracks out, both as MOTChallenge writes them."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    detections: Annotated[
        Path, typer.Option(help="File of lines frame,-1,left,top,width,height,score; .txt or .txt.gz.")
    ],
    out: Annotated[Path, typer.Option(help="File for the same lines with people's ids in place of -1.")],
    fps: Annotated[float, typer.Option(min=0.1, max=1000, help="Frames a second of the video.")],
    kind: Annotated[str, typer.Option(help="What the detections show: persons or faces.")] = "persons",
    weights: Annotated[Path | None, typer.Option(help="File that `fancam train tracker` has written.")] = None,
    filled: Annotated[
        bool, typer.Option("--filled", help="Also between two looks at a person at most half a second apart.")
    ] = False,
) -> None:
    """Frames without a line are frames in which nothing was found. Boxes are the detections' own; with --filled those on
    the straight line between two looks have score 0."""
    from client.cli.main import Failure
    from client.cli.networks import check_word
    from engines.track import mot
    from engines.track.follow import follow
    from engines.track.kinds import KINDS
    from engines.track.odds import load

    check_word("kind", kind, tuple(KINDS))
    if weights and not KINDS[kind].learnt:
        raise typer.BadParameter(f"{kind} are weighed by no network", param_hint="--weights")
    try:
        learnt = load(weights) if weights else None
    except (OSError, ValueError) as error:
        raise Failure(f"{weights}: {error}") from None
    try:
        rows = follow(mot.read(detections), fps, KINDS[kind], learnt, filled=filled)
        mot.write(out, rows)
    except mot.BadTable as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}") from error
    people = len(set(rows[:, 1].tolist()))
    print(f"{out}: {people} {kind} in {len(rows)} boxes")
