"""`fancam dataset teach | clips`: better labels, and more of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from client.cli.main import Failure
from client.cli.verb import group

APP = group("dataset")
SIDES_PX = (640, 480)


@APP.command(help="Complete labels by what other networks agree on.")
def teach(
    data: Annotated[Path, typer.Option(help="Labels, as for `fancam train faces`.")],
    teacher: Annotated[
        list[str], typer.Option(metavar="NAME|FILE", help="A network that finds faces. May be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="The label file to write, .jsonl.")],
    face_class: Annotated[
        list[str] | None, typer.Option(help="A class that is a face, as for `fancam train faces`. May be repeated.")
    ] = None,
) -> None:
    from client.cli.networks import chosen
    from client.cli.progress import progress
    from engines.runtimes import RuntimeFailure
    from engines.train import data as pictures
    from engines.train import formats, teach

    if out.exists():
        raise Failure(f"{out} is there already: choose another file, or delete it")
    networks = chosen(teacher, faces=False).all
    for network in networks:
        if not network.faces:
            raise Failure(f"{network.path} finds no faces: it knows {', '.join(network.classes[:5])}")
    try:
        entries = formats.read_any(data, face_class or ())
        teachers = [one for network in networks for one in _looking(network, teach.LEAST_SCORE)]
        lines = []
        with progress("teaching", "pictures") as update:
            for number, entry in enumerate(entries, 1):
                picture = pictures.load_picture(entry)
                entry = teach.in_pixels(entry, picture)
                faces = teach.taught(entry, teach.looks_at(picture, teachers))
                lines.append(_line(entry.file.absolute(), entry.width, entry.height, faces))
                update(number, len(entries))
    except (pictures.DataError, RuntimeFailure) as error:
        raise Failure(str(error)) from None
    _write(out, lines)
    before = _counts([face for entry in entries for face in entry.faces])
    print(f"{out}: {_counts([face for line in lines for face in line['faces']])}; before: {before}")


@APP.command(help="Label the frames of clips in which a tracked face was missed.")
def clips(
    files: Annotated[list[Path], typer.Argument(help="Video files.")],
    out: Annotated[Path, typer.Option(help="A new folder for the pictures and their train.jsonl.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Another network than the built-in one.")
    ] = None,
) -> None:
    import av
    import cv2
    import numpy as np

    from client.cli.networks import chosen
    from client.cli.progress import progress
    from engines.detect.networks import open_networks
    from engines.runtimes import RuntimeFailure
    from engines.train import clips as tracked

    if (out / "train.jsonl").exists():
        raise Failure(f"{out / 'train.jsonl'} is there already: choose another folder")
    lines = []
    try:
        detector = open_networks(chosen([model] if model else []))
        (out / "images").mkdir(parents=True, exist_ok=True)
        with progress("labelling", "clips") as update:
            for done, file in enumerate(files, 1):
                for number, frame, faces in tracked.label(partial(tracked.frames_of, file), detector):
                    name = f"{file.stem}_{number:05}.jpg"
                    planes = np.concatenate([plane.ravel() for plane in (frame.y, frame.u, frame.v)])
                    bgr = cv2.cvtColor(planes.reshape(-1, frame.width), cv2.COLOR_YUV2BGR_I420)
                    cv2.imwrite(str(out / "images" / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
                    lines.append(_line(name, frame.width, frame.height, faces))
                update(done, len(files))
    except (RuntimeFailure, av.FFmpegError) as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}") from None
    _write(out / "train.jsonl", lines)
    print(f"{out}: {len(lines)} frames, {_counts([face for line in lines for face in line['faces']])}")


def _looking(network: Any, least_score: float) -> list[Any]:
    """A detector for each of `SIDES_PX`; one where the network has a size of its own."""
    from engines.detect.detector import open_detector

    file = Path(network.path) if network.path else None
    opened = [
        open_detector(file, long_side=side, conf=least_score, family=network.family, names=network.classes)
        for side in SIDES_PX
    ]
    return opened[:1] if opened[0].fixed_size else opened


def _line(file: object, width: int, height: int, faces: list[dict]) -> dict[str, Any]:
    return {"file": str(file), "width": width, "height": height, "faces": faces}


def _write(out: Path, lines: Iterable[dict[str, Any]]) -> None:
    aside = out.with_name(f".{out.name}.part")
    try:
        aside.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        aside.replace(out)
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}") from error


def _counts(faces: list[dict]) -> str:
    kept = [face for face in faces if not face.get("ignore")]
    points = sum(face.get("landmarks_px") is not None for face in kept)
    return f"{len(kept)} faces, {points} of them with landmarks, {len(faces) - len(kept)} regions ignored"
