"""`fancam scene`: write the drawn test scene and its exact ground truth."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from client.cli.main import Failure


def command(
    out: Annotated[Path, typer.Option(help="The video to write (MP4, H.264).")] = Path("scene.mp4"),
    truth: Annotated[Path | None, typer.Option(help="File for where every face is: one JSON line a frame.")] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Length in seconds; the scene repeats every 20 s without a seam.")
    ] = 20.0,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels, both even.")] = "640x480",
    fps: Annotated[int, typer.Option(min=1, max=120, help="Frames a second.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="0 is the default cast; another number dresses another one.")] = 0,
    marker: Annotated[
        bool, typer.Option("--marker", help="Draw the frame's number into the picture, to be read by programs.")
    ] = False,
    audio: Annotated[bool, typer.Option("--audio", help="Add a sound track with a beep every second.")] = False,
) -> None:
    width, height = parse_size(size)
    for path in (out, truth):
        if path is not None and not path.parent.is_dir():
            raise Failure(f"cannot write {path}: there is no folder {path.parent}; make it first")
    from client.cli.progress import progress
    from engines.scene.demo import demo_scene
    from engines.scene.write import write_scene

    started = time.monotonic()
    scene = demo_scene(width, height, seed)
    try:
        with progress("drawing", "frames") as update:
            count = write_scene(
                out, truth, scene=scene, seconds=seconds, fps=fps, marker=marker, audio=audio, progress=update
            )
    except OSError as error:
        raise Failure(f"cannot write {out}: {error.strerror or error}") from error
    print(f"{out}: {count} frames of {width}x{height} at {fps} fps in {time.monotonic() - started:.1f} s")
    if truth is not None:
        print(f"{truth}: the truth of every frame")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of a text like 640x480."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (64 <= width <= 4096 and 64 <= height <= 4096) or width % 2 or height % 2:
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT with even numbers from 64 to 4096", param_hint="--size")
    return width, height
