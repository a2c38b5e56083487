"""`fancam process --review` and `--review-file`: analyse once, decide or take over what was decided, write."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from client.review import DRAFT, KEPT, Session
from client.review_app import HOST, serve
from engines.detect.detector import Detector
from engines.offline import Options, Summary
from engines.review.analysis import Analysis
from engines.review.decisions import Decisions, unmatched
from engines.review.document import load, save
from server.door.serve import CannotServe, listen
from server.settings import SettingsError

Update = Callable[[int, int], None]


class Unfinished(Exception):
    """The review ended before the files were written; the text says what remains."""


def run(
    video: Path,
    out: Path,
    detector: Detector,
    options: Options,
    progress: Callable[[str], AbstractContextManager[Update]],
    say: Callable[[str], None],
    *,
    page: bool,
    decided: Path | None,
    port: int = 0,
) -> Summary:
    """Write what `engines.offline.process` does, by the decisions in the file `decided` and those made on the `page`.

    Raises:
        Unfinished: the process was told to end before the files were written.
        Wrong: `decided` cannot be used for this video.
        FileError, OSError: as `process`.
    """
    with _listen(port) if page else nullcontext() as listener:
        with progress("analysing") as update:
            analysis = Analysis(video, detector, options, update)
        decisions: Decisions = ()
        if decided is not None:
            decisions = load(decided, video, len(analysis.frames), analysis.width, analysis.height)
            missing = unmatched(decisions, analysis.moments)
            if missing:
                say(f"{decided}: {missing} of the covers taken away are not found again and stay")
        if listener is None:
            with progress("redacting") as update:
                summary = analysis.write(decisions, out, update)
            save(out / KEPT, decisions, analysis.file, {**summary.detector, **summary.options})
            return summary
        session = Session(analysis, out, decisions)
        say(
            f"{len(analysis.frames)} frames, {len(analysis.places)} places to look at. The page is for one browser on this machine:"
        )
        serve(session, listener, lambda url: say(f"  {url}"))
        if session.summary is None:
            draft = out / DRAFT
            kept = (
                f"; the decisions are in {draft}: go on with --review --review-file {draft}" if draft.is_file() else ""
            )
            raise Unfinished(f"ended before the files were written: nothing was{kept}")
        return session.summary


def _listen(port: int) -> socket.socket:
    """Before anything is analysed: a port that is taken is no reason to do that twice."""
    try:
        return listen(HOST, port)
    except (CannotServe, SettingsError) as error:
        raise Unfinished(str(error)) from None
