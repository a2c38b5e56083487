"""Where a source may be on the network: parsed, resolved once, checked, and connected to just as it was resolved."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

PORTS: Final = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
TIMEOUT_S: Final = 10
MAX_CHARS: Final = 2048
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")


class SourceError(Exception):
    """A source that cannot be read; one line, without credentials."""


class Refused(SourceError):
    """A source that may not be read."""


class Silent(SourceError):
    """A source that does not answer in time."""


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open internet, also by the IPv4 address that an IPv6 one may hold."""
    ip = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else ip.ipv4_mapped or ip.sixtofour
        if inner is None:
            return ip in GLOBAL_UNICAST and ip.is_global
        ip = inner
    return ip.is_global and not ip.is_multicast


@dataclass(frozen=True, slots=True)
class Address:
    """A source's address. As text it is scheme, host and port alone: the rest may hold passwords and stream keys."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query."""
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, text: str) -> Address:
        """
        Raises:
            Refused: another scheme than rtsp(s), rtmp(s), http(s), or no address that could be one.
        """
        scheme, colon, _ = text.partition("://")
        if scheme.lower() not in PORTS or not colon:
            raise Refused("a source over the network begins with rtsp(s)://, rtmp(s):// or http(s)://")
        if len(text) > MAX_CHARS or not all("!" <= char <= "~" and char not in ",|\\" for char in text):
            raise Refused(f"an address has at most {MAX_CHARS} characters, and no blanks, commas, bars or backslashes")
        try:
            parts = urlsplit(text)
            port = parts.port or PORTS[parts.scheme]
        except ValueError as error:
            raise Refused(f"no address: {error}") from None
        if not parts.hostname or parts.port == 0:
            raise Refused("an address without a host, or with port 0")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        user, password = (unquote(part) if part is not None else None for part in (parts.username, parts.password))
        return cls(parts.scheme, parts.hostname, port, path, user, password)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def has_tls(self) -> bool:
        return self.scheme.endswith("s")

    @property
    def protocol(self) -> str:
        """rtsp, rtmp or http."""
        return self.scheme.removesuffix("s")

    def at(self, host: str, port: int) -> str:
        """The same without TLS at another place, with the credentials: for our own tunnel."""
        secret = f":{quote(self.password, safe='')}" if self.password is not None else ""
        user = f"{quote(self.user, safe='')}{secret}@" if self.user is not None else ""
        return f"{self.protocol}://{user}{host}:{port}{self.path}"

    def resolve(self, allow_private: bool) -> list[Any]:
        """The socket addresses of the host, all of them public ones unless `allow_private`.

        Raises:
            Refused: one of them is not.
            SourceError: there are none.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise SourceError(f"{self}: no such host") from None
        places = [place for *_, place in found]
        private = [str(place[0]) for place in places if not is_public(str(place[0]))]
        if private and not allow_private:
            raise Refused(f"{self}: {private[0]} is not public, and --allow-private is not set")
        return places

    def connect(self, places: list[Any]) -> socket.socket:
        """A connection to the first of `places` (from `resolve`) that answers; by TLS, with the host's certificate checked.

        Raises:
            Silent: none within 10 s.
            SourceError: they refuse, or the certificate is wrong.
        """
        failure: OSError = OSError("no address")
        for place in places:
            try:
                link = socket.create_connection(place[:2], TIMEOUT_S)
            except OSError as error:
                failure = error
                continue
            try:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self.has_tls:
                    return link
                return ssl.create_default_context().wrap_socket(link, server_hostname=self.host)
            except OSError as error:
                link.close()
                failure = error
        if isinstance(failure, TimeoutError):
            raise Silent(f"{self} did not answer within {TIMEOUT_S} s")
        reason = getattr(failure, "verify_message", None) or failure.strerror or str(failure)
        raise SourceError(f"{self} cannot be reached: {reason}")
