"""The server's settings: flags of `fancam serve` before FANCAM_* in the environment before fancam.toml in the working directory."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class SettingsError(Exception):
    """Settings that cannot be served with; the text is one line for the user."""


def _words(value: Any) -> Any:
    """`a,b c` from the environment is a list of three."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


class Settings(BaseSettings):
    """What `fancam serve` can be told. Unknown keys in fancam.toml are errors."""

    model_config = SettingsConfigDict(env_prefix="FANCAM_", toml_file="fancam.toml", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    allow_host: Annotated[tuple[str, ...], NoDecode] = ()
    """Names by which clients may call this server, besides localhost and the address it is bound to."""
    token: Annotated[tuple[str, ...], NoDecode] = ()
    """`SECRET` (every scope) or `scope[,scope…]:SECRET`."""
    tokens_file: Path | None = None
    """One token a line, in the form of `token`; lines beginning with # are comments."""
    max_streams: int = Field(8, ge=1, le=64)
    max_viewers: int = Field(64, ge=1, le=1024)
    max_feeds: int = Field(8, ge=1, le=64)
    """Feeds encoded at a time; one feed in two codecs counts twice."""
    model: Path | None = None
    """A face model as ONNX instead of the built-in one."""
    keep_audio: bool = False
    """The redacted feed keeps the source's sound. A voice identifies: off unless it is asked for."""

    @field_validator("allow_host", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        return _words(value)

    @field_validator("token", mode="before")
    @classmethod
    def _split_tokens(cls, value: Any) -> Any:
        return value.split() if isinstance(value, str) else value

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address that is bound."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

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


def load_settings(**flags: Any) -> Settings:
    """Settings from flags (None and empty ones are not given), the environment and fancam.toml, in this order.

    Raises:
        SettingsError: a value that is not possible, an unknown key, or a file that cannot be read.
    """
    given = {name: value for name, value in flags.items() if value is not None and value != ()}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"setting {where!r}: {first['msg']}") from error
    except ValueError as error:  # a fancam.toml that is no TOML
        raise SettingsError(f"fancam.toml: {error}") from error
