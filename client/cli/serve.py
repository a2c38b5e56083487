"""`fancam serve`: the server, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TOKEN_HELP = (
    "SECRET (may do everything) or scope[,scope]:SECRET; may be given several times. "
    "Scopes: publish, view-redacted, view-fancam, view-raw (the overlay too), admin."
)


def command(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [8080]")] = None,
    token: Annotated[list[str] | None, typer.Option(help=TOKEN_HELP)] = None,
    tokens_file: Annotated[Path | None, typer.Option(help="A file with one such token a line.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="Another name clients may call this server by.")] = None,
    max_streams: Annotated[int | None, typer.Option(help="Publishers at a time. [8]")] = None,
    max_viewers: Annotated[int | None, typer.Option(help="Viewers at a time. [64]")] = None,
    max_feeds: Annotated[int | None, typer.Option(help="Feeds encoded at a time. [8]")] = None,
    model: Annotated[Path | None, typer.Option(help="A face model (ONNX) instead of the built-in one.")] = None,
    keep_audio: Annotated[
        bool | None, typer.Option("--keep-audio", help="Keep the sound in the redacted feed; a voice identifies.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each request too.")] = False,
) -> None:
    from client.cli.main import Failure
    from server.door.serve import CannotServe, serve
    from server.settings import SettingsError, load_settings

    try:
        settings = load_settings(
            host=host, port=port, token=tuple(token or ()), tokens_file=tokens_file, allow_host=tuple(allow_host or ()),
            max_streams=max_streams, max_viewers=max_viewers, max_feeds=max_feeds, model=model, keep_audio=keep_audio,
        )  # fmt: skip
        serve(settings, announce=lambda text: print(text, flush=True), verbose=verbose)
    except SettingsError as error:
        typer.echo(f"fancam serve: {error}", err=True)
        raise typer.Exit(2) from None
    except CannotServe as error:
        raise Failure(str(error)) from None
