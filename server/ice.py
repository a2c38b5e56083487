"""STUN and TURN servers as an operator writes them and as clients are told of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

# RFC 7064 and 7065 §3.1, with the user and password that those leave to others before the host.
ADDRESS: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):"
    r"(?:(?P<username>[^:@\s]+):(?P<credential>[^@\s]+)@)?"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?"
)
GRAMMAR: Final = "an ICE server is stun:HOST[:PORT] or turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]"
PRINTABLE: Final = re.compile(r"[ -~]*")
PARAMETER: Final = re.compile(r';\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))')
LINK: Final = re.compile(r'<([^>]*)>((?:[^",<]|"(?:[^"\\]|\\.)*")*)')


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server; of a STUN server user and password are None."""

    url: str
    """Without user and password: what RTCIceServer.urls and a Link header hold."""
    username: str | None = None
    credential: str | None = None

    @classmethod
    def parse(cls, text: str) -> IceServer:
        """`stun:host:port`, `turn:user:password@host:port?transport=udp`; : and @ in user and password as %3A and %40.

        Raises:
            ValueError: another form; the text repeats nothing of what was given, which may be a password.
        """
        match = ADDRESS.fullmatch(text)
        if match is None or (match["port"] and not 1 <= int(match["port"]) <= 65535):
            raise ValueError(GRAMMAR)
        is_turn = match["scheme"].startswith("turn")
        if is_turn and match["username"] is None:
            raise ValueError(f"a TURN server needs user and password: {GRAMMAR}")
        if not is_turn and (match["username"] or match["transport"]):
            raise ValueError(f"a STUN server has neither user nor transport: {GRAMMAR}")
        port = f":{match['port']}" if match["port"] else ""
        transport = f"?transport={match['transport']}" if match["transport"] else ""
        url = f"{match['scheme']}:{match['host']}{port}{transport}"
        if not is_turn:
            return cls(url)
        username, credential = unquote(match["username"]), unquote(match["credential"])
        if not PRINTABLE.fullmatch(username + credential):
            raise ValueError("a TURN server's user and password are printable ASCII")
        return cls(url, username, credential)

    def link(self) -> str:
        """The Link header that tells clients of it (RFC 9725 §4.6)."""
        text = f'<{self.url}>; rel="ice-server"'
        if self.username is None or self.credential is None:
            return text
        return f'{text}; username={_quote(self.username)}; credential={_quote(self.credential)}; credential-type="password"'

    @classmethod
    def from_links(cls, headers: Iterable[str]) -> list[IceServer]:
        """Those that a server tells of in its Link headers; links of other kinds are left out."""
        servers = []
        for link in LINK.finditer(", ".join(headers)):
            values = {name.lower(): bare or _plain(quoted) for name, quoted, bare in PARAMETER.findall(link[2])}
            if "ice-server" in values.get("rel", "").split():
                servers.append(cls(link[1], values.get("username"), values.get("credential")))
        return servers


def _quote(text: str) -> str:
    """As a quoted-string (RFC 9110 §5.6.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)
