"""The UDP sockets that a session's media goes through, and the addresses that its client is told of them."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

ANY_TRIES: Final = 20
RECEIVE_BUFFER_BYTES: Final = 256 << 10
"""A key frame and more, should the event loop be held up."""

NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""An address that has gone or is not settled yet, or a machine without IPv6."""


class NoPort(Exception):
    """No UDP port is free; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Network:
    """A session has one port, and that on all addresses of this machine: so a router that passes a range of ports on needs
    to know nothing else, and a range holds as many sessions as it has ports."""

    ports: range | None = None
    """Which ports; None: any that is free."""
    advertise: str | None = None
    """The only address that clients are told, where a router has it and passes its ports on to this machine (1:1 NAT)."""

    def bind(self, addresses: Sequence[str]) -> list[socket.socket]:
        """Non-blocking sockets of one port, one for each address that still is this machine's.

        Raises:
            NoPort: every port of the range is in use, or there can be no more sockets.
        """
        for port in self._choices():
            sockets = _bind(addresses, port)
            if sockets:
                return sockets
        if self.ports is None:
            raise NoPort("no UDP port is free on this server")
        raise NoPort(f"all UDP ports of {self.ports[0]}-{self.ports[-1]} are in use (--udp-ports has the range)")

    def tell(self, sockets: Iterable[socket.socket]) -> list[tuple[str, int]]:
        """Address and port that a client may send to, for each of the sockets."""
        names = [sock.getsockname()[:2] for sock in sockets]
        if self.advertise is None:
            return names
        return [(self.advertise, port) for _, port in names[:1]]

    def _choices(self) -> Iterable[int]:
        # At random: the port of a session that has just ended still gets what its client sends.
        return [0] * ANY_TRIES if self.ports is None else random.sample(self.ports, len(self.ports))


def _bind(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Sockets of this port (0: of one that the first address has free); none when another program has it."""
    sockets: list[socket.socket] = []
    for address in addresses:
        try:
            sock = _bound(address, port)
        except OSError as error:
            if error.errno in NOT_HERE:
                continue
            for other in sockets:
                other.close()
            if error.errno == errno.EADDRINUSE:
                return []
            raise NoPort(f"no UDP socket can be opened on this server: {error.strerror}") from error
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return sock
