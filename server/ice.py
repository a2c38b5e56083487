"""STUN and TURN servers as an operator writes them and as clients are told of them."""

from __future__ import annotations

import re
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
        return cls(url, unquote(match["username"]), unquote(match["credential"]))
