"""`fancam detect PATH…`: one JSON line a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MAX_PIXELS: Final = 50_000_000


def command(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="Write the lines to this file instead of the terminal.")] = None,
    imgsz: Annotated[int, typer.Option(min=160, max=4096, help="Long side at which faces are searched, px.")] = 640,
    conf: Annotated[float, typer.Option(min=0.01, max=0.99, help="Least score of what is told.")] = 0.3,
    runtime: Annotated[
        str, typer.Option(help="auto, openvino or onnxruntime; tensorrt or torch_cuda on a GPU.")
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, f32, bf16 or int8.")] = "auto",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Instead of the built-in model: a name in `fancam models list`, or FILE.onnx. May be repeated.",
        ),
    ] = None,
) -> None:
    from client.cli.main import Failure, plain
    from client.cli.networks import check_word, chosen
    from client.cli.progress import progress
    from engines.detect.networks import open_networks
    from engines.runtimes import GPU_KINDS, KINDS, RuntimeFailure

    check_word("runtime", runtime, ("auto", *KINDS, *GPU_KINDS))
    check_word("precision", precision, ("auto", "f32", "bf16", "int8"))
    pictures = find(paths)
    if not pictures:
        raise Failure(f"no picture in {', '.join(map(str, paths))}: one of {', '.join(SUFFIXES)}")
    try:
        networks = chosen(model or (), faces=False)
        detector = open_networks(networks, runtime=runtime, precision=precision, long_side=imgsz, conf=conf)
    except RuntimeFailure as error:
        raise Failure(str(error)) from error
    aside = out.with_name(f".{out.name}.part") if out else None
    try:
        target = aside.open("w") if aside else sys.stdout
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}") from error
    unread, done = 0, False
    try:
        with progress("detecting", "pictures") as update:
            for number, (path, name) in enumerate(pictures, 1):
                try:
                    print(json.dumps({"file": name, **describe(path, detector)}), file=target)
                except Unreadable as error:
                    unread += 1
                    print(plain(f"fancam detect: {error}"), file=sys.stderr)
                update(number, len(pictures))
        done = True
    except RuntimeFailure as error:
        raise Failure(str(error)) from error
    finally:
        if aside is not None and out is not None:
            target.close()
            if done:
                aside.replace(out)
            else:
                aside.unlink()
    if unread:
        raise Failure(f"{unread} of {len(pictures)} pictures could not be read; the lines above name them")


class Unreadable(Exception):
    """A file that is no picture, or too large a one, or one to which a network's answer cannot be used."""


def find(paths: list[Path]) -> list[tuple[Path, str]]:
    """The files themselves, and the pictures in the folders, sorted; each with the name it goes by: its path below the folder
    that was given, or where two would have the same name, its whole path."""
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
            found += [(file, file.relative_to(path).as_posix()) for file in files]
        else:
            found.append((path, path.name))
    if len({name for _, name in found}) < len(found):
        return [(path, path.as_posix()) for path, _ in found]
    return found


def describe(path: Path, detector: Any) -> dict[str, Any]:
    """What is found in one picture, in pixels of the picture as it is shown (EXIF orientation applied)."""
    frame, width, height = read(path)
    (found,) = detector.detect([frame])
    if not found.complete:
        raise Unreadable(f"{path}: the network's answer is not all there, or no numbers")
    others = found.others()
    told = {"width": width, "height": height, "faces": things(found.faces())}
    return told if others is None else {**told, "others": things(others)}


def things(found: Any) -> list[dict[str, Any]]:
    """Each detection, with landmarks where its network finds them."""
    told = []
    for box, score, number, points in zip(found.boxes, found.scores, found.classes, found.landmarks, strict=True):
        thing = {
            "class": found.names[number],
            "xyxy_px": [round(float(value), 1) for value in box],
            "score": round(float(score), 4),
        }
        if not (points != points).any():  # NaN
            thing["landmarks_px"] = [[round(float(x), 1), round(float(y), 1)] for x, y in points]
        told.append(thing)
    return told


def read(path: Path) -> tuple[Any, int, int]:
    """The picture as a frame, padded to even sides, and its own width and height.

    Raises:
        Unreadable: not a picture, or over 50 megapixels.
    """
    import cv2
    import numpy as np

    from client.pictures import stated_size
    from engines.frame import Frame

    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
    # Sizes are looked at before pixels are decoded: a small file may hold a huge picture.
    size = stated_size(data)
    if size is None:
        raise Unreadable(f"{path}: not a picture that can be read (JPEG, PNG, WebP, BMP or TIFF)")
    if size[0] * size[1] > MAX_PIXELS:
        raise Unreadable(f"{path}: {size[0]}x{size[1]} px is more than {MAX_PIXELS // 1_000_000} megapixels")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise Unreadable(f"{path}: not a picture that can be read ({error.err})") from error
    if picture is None:
        raise Unreadable(f"{path}: not a picture that can be read")
    height, width = picture.shape[:2]
    even = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    i420 = np.asarray(cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420), np.uint8)
    rows, columns = even.shape[:2]
    y = i420[:rows]
    u, v = i420[rows:].reshape(2, rows // 2, columns // 2)
    return Frame(y, u, v, 0, 0, owner=i420), width, height
