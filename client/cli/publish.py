"""`fancam publish SOURCE WHIP_URL`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Annotated

import typer


def command(
    source: Annotated[str, typer.Argument(help="A video file, a webcam's number, or an rtsp, rtmp or http address.")],
    url: Annotated[str, typer.Argument(metavar="WHIP_URL", help="Where to publish: http://127.0.0.1:8080/whip/NAME.")],
    token: Annotated[str | None, typer.Option(envvar="FANCAM_TOKEN", help="The server's bearer token.")] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin a file anew at its end.")] = False,
) -> None:
    from client.cli.main import Failure
    from client.publish import publish
    from client.session import Refused, check_url
    from server.pull.address import SourceError

    try:
        check_url(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="WHIP_URL") from None

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await publish(source, url, token=token, loop=loop, say=lambda text: print(text, flush=True))

    try:
        asyncio.run(run())
    except (SourceError, Refused) as error:
        raise Failure(str(error)) from error
