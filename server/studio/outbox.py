"""The studio's way out: whole messages onto the link, from any thread, never waiting for ever."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

from server.link import NO_FLAGS, Flag, Kind, Message, header, json_body

SEND_TIMEOUT_S: Final = 2


class Outbox:
    """Writes messages of one epoch; when the door has read nothing for 2 s, or has gone, `on_dead` is called once."""

    def __init__(self, link: socket.socket, on_dead: Callable[[str], None]) -> None:
        self.epoch = 0
        self._link = link
        self._on_dead = on_dead
        self._dead = False
        self._lock = threading.Lock()
        # The timeout of the kernel and not of Python, which would make the reader's side of this socket non-blocking too.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0))

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        body: bytes = b"",
        flags: Flag = NO_FLAGS,
        rtp_time: int = 0,
        arrival_ns: int = 0,
    ) -> None:
        """Write one message; does nothing once the link is dead."""
        head = header(Message(kind, ident, body, flags, self.epoch, rtp_time, arrival_ns))
        with self._lock:
            if self._dead:
                return
            try:
                sent = self._link.sendmsg([head, body])
                if sent < len(head) + len(body):
                    self._link.sendall((head + body)[sent:])
                return
            except OSError as error:
                self._dead = True
                reason = f"the door does not read: {error}"
        self._on_dead(reason)

    def send_json(self, kind: Kind, ident: int, value: object, *, rtp_time: int = 0, arrival_ns: int = 0) -> None:
        self.send(kind, ident, json_body(value), rtp_time=rtp_time, arrival_ns=arrival_ns)
