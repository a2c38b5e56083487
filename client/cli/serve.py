"""`fancam serve`: the server, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from server.settings import Settings, group_of


def _flag(key: str, *names: str, metavar: str | None = None) -> Any:
    """The option of a setting, described as the setting is."""
    field = Settings.model_fields[key]
    default = f" [{field.default}]" if isinstance(field.default, int | str) and field.default is not False else ""
    several = " May be given several times." if field.default == () else ""
    text = f"{field.description}{default}{several}"
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=group_of(key))


def command(
    host: Annotated[str | None, _flag("host")] = None,
    port: Annotated[int | None, _flag("port")] = None,
    tls_cert: Annotated[Path | None, _flag("tls_cert")] = None,
    tls_key: Annotated[Path | None, _flag("tls_key")] = None,
    token: Annotated[list[str] | None, _flag("token")] = None,
    tokens_file: Annotated[Path | None, _flag("tokens_file")] = None,
    allow_host: Annotated[list[str] | None, _flag("allow_host", metavar="NAME")] = None,
    input: Annotated[list[str] | None, _flag("input", "--input", metavar="NAME=SOURCE")] = None,
    loop: Annotated[bool | None, _flag("loop", "--loop")] = None,
    allow_private: Annotated[bool | None, _flag("allow_private", "--allow-private")] = None,
    model: Annotated[Path | None, _flag("model")] = None,
    keep_audio: Annotated[bool | None, _flag("keep_audio", "--keep-audio")] = None,
    max_streams: Annotated[int | None, _flag("max_streams")] = None,
    max_viewers: Annotated[int | None, _flag("max_viewers")] = None,
    max_feeds: Annotated[int | None, _flag("max_feeds")] = None,
    udp_ports: Annotated[str | None, _flag("udp_ports", metavar="A-B")] = None,
    advertise: Annotated[str | None, _flag("advertise", metavar="IP")] = None,
    ice_server: Annotated[list[str] | None, _flag("ice_server", metavar="URL")] = None,
    log_json: Annotated[bool | None, _flag("log_json", "--log-json")] = None,
    verbose: Annotated[bool | None, _flag("verbose", "--verbose", "-v")] = None,
) -> None:
    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in locals().items()}
    from client.cli.main import Failure
    from server.door.serve import CannotServe, serve
    from server.settings import SettingsError, load_settings

    try:
        settings = load_settings(**flags)
        serve(settings, announce=lambda text: print(text, flush=True), verbose=settings.verbose)
    except SettingsError as error:
        typer.echo(f"fancam serve: {error}", err=True)
        raise typer.Exit(2) from None
    except CannotServe as error:
        raise Failure(str(error)) from None
