"""`fancam process VIDEO --out DIR`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from engines.detect.detector import Detector
    from engines.offline import Options, Summary
    from engines.policy import Cover
    from engines.render.zones import Zones


def command(
    video: Annotated[Path, typer.Argument(help="The video to redact.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for redacted.mp4, a fancam-N.mp4 or fancam-NAME.mp4 each (faces not covered), tracks.csv and summary.json."
        ),
    ],
    fancams: Annotated[
        bool,
        typer.Option(
            "--fancams/--no-fancams",
            help="Cut one video per person seen for a second; faces in these videos are not covered.",
        ),
    ] = True,
    keep_audio: Annotated[bool, typer.Option("--keep-audio", help="Keep the sound: a voice identifies.")] = False,
    style: Annotated[str, typer.Option(help="How faces are covered: solid, mosaic or blur.")] = "solid",
    zones: Annotated[
        Path | None,
        typer.Option(help="JSON file of polygons to black out everywhere: [[[x, y], [x, y], [x, y]]], each 0 to 1."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a report of what was covered and what to look at (JSON and a page).")
    ] = None,
    review: Annotated[
        bool,
        typer.Option("--review", help="Look at what is doubtful on a page, and decide, before anything is written."),
    ] = False,
    review_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take over the decisions of a review: its review.json.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the review page, on this machine alone; 0 takes a free one.")
    ] = 0,
    preset: Annotated[
        str,
        typer.Option(
            help="How fancams frame: face, 'upper body', 'full body', or seeds: 200x630, full body, the size of an earlier cutter's videos."
        ),
    ] = "upper body",
    max_gap: Annotated[
        float,
        typer.Option(min=0, max=1, help="Fill a person's path where nothing was found for so many seconds at most."),
    ] = 1.0,
    imgsz: Annotated[int, typer.Option(min=160, max=1920, help="Long side at which faces are searched, px.")] = 640,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="A name in `fancam models list`, or FILE.onnx. May be repeated."),
    ] = None,
    cover: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Cover this class of the models too, such as plate. May be repeated."),
    ] = None,
    cover_heads: Annotated[
        bool,
        typer.Option("--cover-heads", help="Cover heads of persons without a visible face; a model must find persons."),
    ] = False,
    cover_except: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Let this member be seen where surely recognised. May be repeated."),
    ] = None,
    cover_only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of the members that a model knows, cover this one only. May be repeated."),
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="auto, openvino or onnxruntime; tensorrt or torch_cuda on a GPU.")
    ] = "auto",
) -> None:
    from av import FFmpegError

    from client.cli.main import Failure
    from client.cli.networks import check_word, chosen
    from client.cli.progress import progress
    from engines.codecs.files import FileError
    from engines.detect.networks import open_networks
    from engines.models.networks import UnknownClass, check_known
    from engines.offline import Options, process
    from engines.render.camera import PRESETS
    from engines.render.redact import STYLES
    from engines.runtimes import GPU_KINDS, KINDS, RuntimeFailure

    check_word("style", style, STYLES)
    check_word("preset", preset, tuple(PRESETS))
    check_word("runtime", runtime, ("auto", *KINDS, *GPU_KINDS))
    started = time.monotonic()
    try:
        networks = chosen(model or ())
        check_known(cover or (), cover_heads, networks.classes)
        who = _who(cover_except or [], cover_only or [], networks.members)
        detector = open_networks(networks, runtime=runtime, long_side=imgsz)
        options = Options(
            fancams=fancams, keep_audio=keep_audio, style=style, preset=preset, max_gap_s=max_gap,  # type: ignore[arg-type]
            zones=_zones(zones), cover=who, members=networks.members, classes=tuple(cover or ()), heads=cover_heads,
            report=report,
        )  # fmt: skip
        if review or review_file is not None:
            summary = _reviewed(video, out, detector, options, page=review, decided=review_file, port=port)
        else:
            with progress("redacting", "frames") as update:
                summary = process(video, out, detector, options, update)
    except (FileError, RuntimeFailure, FFmpegError, OSError, UnknownClass) as error:
        raise Failure(str(error)) from error
    _say_done(summary, video, out, time.monotonic() - started)


def _say_done(summary: Summary, video: Path, out: Path, took_s: float) -> None:
    cut = [person.fancam for person in summary.people if person.fancam]
    print(f"{summary.frames} frames in {took_s:.1f} s, {summary.faces / max(summary.frames, 1):.1f} faces a frame")
    print(f"{out / 'redacted.mp4'}, {len(cut)} fancams, {out / 'tracks.csv'}, {out / 'summary.json'}")
    if summary.broken:
        print(
            f"{video}: {summary.broken} pictures are damaged or missing, as of a file that is cut short; the others are there"
        )


def _reviewed(
    video: Path, out: Path, detector: Detector, options: Options, *, page: bool, decided: Path | None, port: int
) -> Summary:
    from client.cli.main import Failure
    from client.cli.progress import progress
    from client.review_run import Unfinished, run
    from engines.review.document import Wrong

    def say(text: str) -> None:
        print(text, flush=True)

    try:
        return run(
            video,
            out,
            detector,
            options,
            lambda what: progress(what, "frames"),
            say,
            page=page,
            decided=decided,
            port=port,
        )
    except (Unfinished, Wrong) as error:
        raise Failure(str(error)) from error


def _who(excepted: list[str], only: list[str], members: tuple[str, ...]) -> Cover:
    """Who is covered, of whom the networks know `members` by name."""
    from client.cli.main import Failure
    from engines.policy import Cover, parse_cover

    if excepted and only:
        raise typer.BadParameter("--cover-except and --cover-only exclude each other")
    try:
        cover = parse_cover({"except": excepted} if excepted else {"only": only}) if excepted or only else Cover()
        cover.check(members)
    except ValueError as error:
        raise Failure(str(error)) from None
    return cover


def _zones(path: Path | None) -> Zones:
    from client.cli.main import Failure
    from engines.policy import read_zones
    from engines.render.zones import Zones

    try:
        return Zones(read_zones(path.read_text())) if path else Zones()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    except ValueError as error:  # no JSON, or no zones
        raise Failure(f"{path}: {error}") from error
