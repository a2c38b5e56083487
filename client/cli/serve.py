"""`fancam serve`: the server, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from server.config import config_text
from server.settings import Settings, SettingsError, group_of, load_settings

PRINT_CONFIG_HELP = (
    "Print a fancam.toml that explains every setting and holds those in force: "
    "from flags, else variables such as FANCAM_PORT, else the fancam.toml here."
)


def _flag(key: str, metavar: str | None = None, short: str | None = None) -> Any:
    """The option of a setting, described as the setting is; without metavar it is a switch."""
    field = Settings.model_fields[key]
    names = [] if metavar else [f"--{key.replace('_', '-')}"]
    default = f" [{field.default}]" if metavar and field.default not in (None, ()) else ""
    text = f"{field.description}{default}{' May be repeated.' if field.default == () else ''}"
    return typer.Option(*names, *filter(None, [short]), help=text, metavar=metavar, rich_help_panel=group_of(key))


def command(
    host: Annotated[str | None, _flag("host", "ADDRESS")] = None,
    port: Annotated[int | None, _flag("port", "PORT")] = None,
    tls_cert: Annotated[Path | None, _flag("tls_cert", "FILE")] = None,
    tls_key: Annotated[Path | None, _flag("tls_key", "FILE")] = None,
    token: Annotated[list[str] | None, _flag("token", "TOKEN")] = None,
    tokens_file: Annotated[Path | None, _flag("tokens_file", "FILE")] = None,
    allow_host: Annotated[list[str] | None, _flag("allow_host", "NAME")] = None,
    input: Annotated[list[str] | None, _flag("input", "NAME=SOURCE")] = None,
    loop: Annotated[bool | None, _flag("loop")] = None,
    allow_private: Annotated[bool | None, _flag("allow_private")] = None,
    model: Annotated[list[str] | None, _flag("model", "NAME|FILE")] = None,
    model_folder: Annotated[Path | None, _flag("model_folder", "DIR")] = None,
    runtime: Annotated[str | None, _flag("runtime", "RUNTIME")] = None,
    cover: Annotated[list[str] | None, _flag("cover", "CLASS")] = None,
    cover_heads: Annotated[bool | None, _flag("cover_heads")] = None,
    keep_audio: Annotated[bool | None, _flag("keep_audio")] = None,
    zones: Annotated[list[str] | None, _flag("zones", "NAME=FILE")] = None,
    redaction: Annotated[list[str] | None, _flag("redaction", "NAME=FILE")] = None,
    budget_ms: Annotated[int | None, _flag("budget_ms", "MS")] = None,
    look_ahead: Annotated[int | None, _flag("look_ahead", "FRAMES")] = None,
    fancam_delay: Annotated[int | None, _flag("fancam_delay", "FRAMES")] = None,
    delay: Annotated[int | None, _flag("delay", "SECONDS")] = None,
    max_streams: Annotated[int | None, _flag("max_streams", "N")] = None,
    max_viewers: Annotated[int | None, _flag("max_viewers", "N")] = None,
    max_feeds: Annotated[int | None, _flag("max_feeds", "N")] = None,
    udp_ports: Annotated[str | None, _flag("udp_ports", "A-B")] = None,
    advertise: Annotated[str | None, _flag("advertise", "IP")] = None,
    ice_server: Annotated[list[str] | None, _flag("ice_server", "SERVER")] = None,
    log_json: Annotated[bool | None, _flag("log_json")] = None,
    verbose: Annotated[bool | None, _flag("verbose", short="-v")] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help=PRINT_CONFIG_HELP)] = False,
) -> None:
    flags = {name: tuple(value) if isinstance(value, list) else value for name, value in locals().items()}
    del flags["print_config"]
    try:
        settings = load_settings(**flags)
        if print_config:
            print(config_text(settings), end="")
        else:
            _serve(settings)
    except SettingsError as error:
        typer.echo(f"fancam serve: {error}", err=True)
        raise typer.Exit(2) from None


def _serve(settings: Settings) -> None:
    from client.cli.main import Failure
    from client.cli.networks import networks_of
    from engines.runtimes import GPU_KINDS, trouble
    from server.door.serve import CannotServe, serve

    if settings.runtime in GPU_KINDS and (why := trouble(settings.runtime)):
        raise Failure(why)
    networks = networks_of(settings)
    try:
        serve(settings, announce=lambda text: print(text, flush=True), networks=networks)
    except CannotServe as error:
        raise Failure(str(error)) from None
