"""`fancam watch WHEP_URL`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    url: Annotated[str, typer.Argument(metavar="WHEP_URL", help="The feed: http://127.0.0.1:8080/whep/NAME/redacted.")],
    token: Annotated[str | None, typer.Option(envvar="FANCAM_TOKEN", help="The server's bearer token.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the video to this file: .mp4, or .mkv or .webm for VP8.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    from client.cli.main import Failure
    from client.record import Recording
    from client.session import Refused, Unreachable, check_url
    from client.watch import Lost, Watcher
    from server.door.broadcast import AccessUnit

    try:
        check_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="WHEP_URL") from None

    async def run(recording: Recording) -> dict[str, Any]:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

        def take(unit: AccessUnit) -> None:
            recording.add(unit, watcher.codec)
            if recording.failure is not None:
                stop.set()

        watcher = Watcher(url, token, on_unit=take)
        async with watcher:
            waiting = [asyncio.ensure_future(watcher.wait(seconds)), asyncio.ensure_future(stop.wait())]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            return {"codec": watcher.codec, **recording.counts(), **watcher.stats()}

    try:
        with contextlib.closing(Recording(out)) as recording:
            counts = asyncio.run(run(recording))
    except (Refused, Unreachable, Lost, OSError) as error:
        raise Failure(str(error)) from error
    if json_:
        print(json.dumps(counts))
    else:
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counts.items()))
