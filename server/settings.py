"""The server's settings: flags of `fancam serve` before FANCAM_* in the environment before fancam.toml in the working directory."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from engines.policy import read_zones
from server.ice import IceServer
from server.redaction import read_redaction

FILE: Final = "fancam.toml"
PREFIX: Final = "FANCAM_"
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What a stream may be called."""
MIN_UDP_PORT: Final = 1024
MIN_UDP_PORTS: Final = 10

Words = Annotated[tuple[str, ...], NoDecode]
RuntimeChoice = Literal["auto", "openvino", "onnxruntime", "tensorrt", "torch_cuda"]


class SettingsError(Exception):
    """Settings that cannot be served with; the text is one line for the user."""


def _key(default: Any, group: str, description: str, **more: Any) -> Any:
    """A setting; its group heads it in `--help` and in what `--print-config` prints."""
    return Field(default, description=description, json_schema_extra={"group": group}, **more)


class Settings(BaseSettings):
    """What `fancam serve` can be told."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, toml_file=FILE, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    host: str = _key("127.0.0.1", "Address", "Address to listen on.")
    port: int = _key(8080, "Address", "Port to listen on; 0 takes a free one.", ge=0, le=65535)
    tls_cert: Path | None = _key(None, "Address", "Serve HTTPS with this certificate (PEM, with its chain).")
    tls_key: Path | None = _key(None, "Address", "The certificate's private key (PEM).")

    token: Words = _key(
        (),
        "Access",
        "What callers must show: SECRET (may do everything) or scope[,scope]:SECRET. "
        "Scopes: publish, view-redacted, view-fancam, view-raw (the overlay too), admin.",
        repr=False,
    )
    tokens_file: Path | None = _key(None, "Access", "A file with one such token a line; # begins a comment line.")
    allow_host: Words = _key(
        (), "Access", "Another name that clients may call this server by, besides localhost and its address."
    )

    input: Words = _key(
        (),
        "Inputs",
        "Publish SOURCE as the stream NAME: a file, an rtsp(s), rtmp(s) or http(s) address, or a webcam's number.",
        repr=False,
    )
    loop: bool = _key(False, "Inputs", "Begin inputs that are files anew at their end.")
    allow_private: bool = _key(False, "Inputs", "Inputs that are added over HTTP may name private addresses too.")

    model: Words = _key(
        (),
        "Streams",
        "A model of one's own: a name in `fancam models list`, or FILE.onnx. Without one that finds faces, the built-in one "
        "does.",
    )
    model_folder: Path | None = _key(
        None, "Streams", "Where the models lie that have names. [~/.local/share/fancam/models]"
    )
    runtime: RuntimeChoice = _key(
        "auto",
        "Streams",
        "What runs the networks: openvino or onnxruntime on the CPU, tensorrt or torch_cuda on a GPU.",
    )
    cover: Words = _key((), "Streams", "Cover this class too, besides faces; a model must find it, such as a plate.")
    cover_heads: bool = _key(
        False, "Streams", "Cover the head of a person without a visible face; a model must find persons."
    )
    keep_audio: bool = _key(False, "Streams", "Keep the sound in the redacted feed; a voice identifies.")
    zones: Words = _key(
        (),
        "Streams",
        "Black out the polygons of this JSON file, [[[x, y], ...], ...] from 0 to 1, in all feeds of NAME.",
    )
    redaction: Words = _key(
        (), "Streams", "Redact NAME as this JSON file says, which holds what PATCH /streams/NAME/redaction takes."
    )
    budget_ms: int = _key(
        100,
        "Streams",
        "Milliseconds from a frame's arrival until it is sent; a frame that cannot make it is dropped and counted.",
        ge=20,
        le=10_000,
    )
    look_ahead: int = _key(
        0,
        "Streams",
        "Show each frame this many later ones late, so that a face is covered as many before it was first found.",
        ge=0,
        le=3,
    )
    fancam_delay: int = _key(
        5,
        "Streams",
        "Show fancams this many frames late, so that they move smoothly.",
        ge=0,
        le=8,
    )
    delay: int = _key(
        0,
        "Streams",
        "Show and sound everything this many seconds late; panic takes back what has not been shown yet.",
        ge=0,
        le=30,
    )
    max_streams: int = _key(8, "Streams", "Publishers at a time.", ge=1, le=64)
    max_viewers: int = _key(64, "Streams", "Viewers at a time.", ge=1, le=1024)
    max_feeds: int = _key(8, "Streams", "Feeds encoded at a time; one feed in two codecs counts twice.", ge=1, le=64)

    udp_ports: str | None = _key(
        None, "Network", f"Send and receive media on UDP ports A to B only, {MIN_UDP_PORTS} of them or more."
    )
    advertise: str | None = _key(
        None, "Network", "Tell clients to send media to this IP address, where a router maps it to this machine."
    )
    ice_server: Words = _key(
        (),
        "Network",
        "stun:HOST[:PORT] or turn:USER:PASSWORD@HOST[:PORT][?transport=tcp], told to clients.",
        repr=False,
    )

    log_json: bool = _key(False, "Logs", "Log one JSON object a line.")
    verbose: bool = _key(False, "Logs", "Log each request too.")

    @field_validator("allow_host", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("cover", mode="before")
    @classmethod
    def _split_classes(cls, value: Any) -> Any:
        return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value

    @field_validator("token", "input", "ice_server", "zones", "redaction", "model", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value

    @field_validator("tls_cert", "tls_key", "tokens_file", "model_folder", "udp_ports", "advertise", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("tls_cert", "tls_key")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"no file {value}")
        return value

    @field_validator("input")
    @classmethod
    def _are_inputs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = set()
        for text in value:
            name, equals, source = text.partition("=")
            if not equals or not source:
                raise ValueError("an input is NAME=SOURCE, such as lobby=rtsp://camera.local/1")
            if not re.fullmatch(NAME_PATTERN, name):
                raise ValueError(f"{name!r} is no name: lower-case letters, digits, - and _, at most 64")
            if name in names:
                raise ValueError(f"two inputs are called {name!r}")
            names.add(name)
        return value

    @field_validator("zones", "redaction")
    @classmethod
    def _are_files(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            name, _, file = text.partition("=")
            if not re.fullmatch(NAME_PATTERN, name) or not file:
                raise ValueError("what is wanted is NAME=FILE, such as lobby=lobby.json")
        return value

    @field_validator("udp_ports")
    @classmethod
    def _are_ports(cls, value: str | None) -> str | None:
        if value is not None:
            match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", value)
            if match is None:
                raise ValueError("a range of ports is A-B, such as 50000-50099")
            first, last = map(int, match.groups())
            if not MIN_UDP_PORT <= first <= last <= 65535 or last - first + 1 < MIN_UDP_PORTS:
                raise ValueError(f"at least {MIN_UDP_PORTS} ports within {MIN_UDP_PORT}-65535 are needed")
        return value

    @field_validator("advertise")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            raise ValueError("an IP address is needed, such as 203.0.113.7") from None
        if address.is_unspecified or address.is_multicast:
            raise ValueError(f"clients cannot send to {address}: name the address that they reach this machine by")
        return str(address)

    @field_validator("ice_server")
    @classmethod
    def _are_ice_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            IceServer.parse(text)
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both or neither")
        return self

    @property
    def policy(self) -> dict[str, Any]:
        """What every stream's redaction begins with."""
        return {"classes": list(self.cover), "heads": self.cover_heads}

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address that is bound."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def udp_port_range(self) -> range | None:
        """The UDP ports that media may use; None: any that is free."""
        if self.udp_ports is None:
            return None
        first, last = map(int, self.udp_ports.split("-"))
        return range(first, last + 1)

    @cached_property
    def policies(self) -> dict[str, dict[str, Any]]:
        """What holds for streams of these names from their first frame on; the files are read once.

        Raises:
            BadFile: a file that cannot be read, or holds something else.
        """
        found: dict[str, dict[str, Any]] = {}
        for key, read in (("zones", lambda text: {"zones": read_zones(text)}), ("redaction", read_redaction)):
            for name, _, file in (text.partition("=") for text in getattr(self, key)):
                try:
                    found.setdefault(name, {}).update(read(Path(file).read_text()))
                except OSError as error:
                    raise BadFile(key, f"{file}: {error.strerror}") from None
                except ValueError as error:
                    raise BadFile(key, f"{file}: {error}") from None
        return found

    @property
    def ice_servers(self) -> list[IceServer]:
        return [IceServer.parse(text) for text in self.ice_server]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class BadFile(ValueError):
    """What is wrong with a file that the setting `key` names."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def group_of(key: str) -> str:
    extra = Settings.model_fields[key].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["group"])


def load_settings(**flags: Any) -> Settings:
    """Settings from flags (None and empty ones are not given), the environment and fancam.toml, in this order.

    Raises:
        SettingsError: a value that is not possible, an unknown key or FANCAM_* variable, or a file that cannot be read.
    """
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    for variable in os.environ:
        key = variable.upper().removeprefix(PREFIX).lower()
        if variable.upper().startswith(PREFIX) and key not in Settings.model_fields:
            raise SettingsError(f"{variable}: no such setting; {_nearest(key, lambda key: PREFIX + key.upper())}")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError(_one_line(error, given)) from error
    except (ValueError, OSError) as error:  # a fancam.toml that is no TOML, or that may not be read
        raise SettingsError(f"{FILE}: {error}") from error
    try:
        settings.policies  # noqa: B018 (reads the files)
    except BadFile as error:
        raise SettingsError(f"{_origin(error.key, given)}: {error}") from error
    return settings


def _one_line(error: ValidationError, given: Collection[str]) -> str:
    """The first of the errors: where the value came from, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    text = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return text
    key = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"{FILE}: {key}: no such setting; {_nearest(key, str)}"
    return f"{_origin(key, given)}: {text}"


def _origin(key: str, given: Collection[str]) -> str:
    """Where a setting's value came from: its flag, its variable or the file."""
    if key in given:
        return f"--{key.replace('_', '-')}"
    variables = {variable.upper(): variable for variable in os.environ}
    return variables.get(PREFIX + key.upper()) or f"{FILE}: {key}"


def _nearest(word: str, spell: Callable[[str], str]) -> str:
    near = difflib.get_close_matches(word, Settings.model_fields, n=1)
    return f"did you mean {spell(near[0])}?" if near else "`fancam serve --help` lists them all"
