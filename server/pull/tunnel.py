"""A port of loopback that leads to one address: FFmpeg is given the port, and so resolves and connects to nothing itself."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from typing import Final

from server.pull.address import Address, SourceError

CHUNK_BYTES: Final = 1 << 16
REPLY: Final = re.compile(rb"RTSP/(?!1\.0(?:\n| [1245]\d\d[ \n]))")
"""A reply that FFmpeg might take for a redirection: all but 1xx, 2xx, 4xx and 5xx. Ours follows none, because its whitelist
lacks the protocol, but does not say why it ended; another might."""
REPLY_BYTES: Final = len("RTSP/1.0 200\n")


class Tunnel:
    """FFmpeg may connect several times, to log in; all of it goes to the address that was resolved first.

    An RTSP connection ends at a redirection, and `redirected` is true from then on.
    """

    def __init__(self, address: Address, allow_private: bool) -> None:
        """
        Raises:
            SourceError: as `Address.resolve` and `Address.connect`.
        """
        self.redirected = False
        self._address, self._places = address, address.resolve(allow_private)
        self._ready: list[socket.socket] = [address.connect(self._places)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = address.at(*self._listener.getsockname())
        threading.Thread(target=self._accept, name="tunnel", daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those there are end with FFmpeg's side of them."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for unused in self._ready:
            unused.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = self._ready.pop() if self._ready else self._address.connect(self._places)
            except SourceError:
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near, far), name="tunnel", daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        """Both ways until one side ends; one thread, because a TLS connection takes no two."""
        far.settimeout(None)
        tail = b""
        with near, far, contextlib.suppress(OSError):
            while True:
                waiting = isinstance(far, ssl.SSLSocket) and far.pending()
                ready = [far] if waiting else select.select([near, far], [], [])[0]
                for side, other in ((near, far), (far, near)):
                    if side not in ready:
                        continue
                    data = _receive(side)
                    if data is None:
                        continue
                    if side is far and self._address.protocol == "rtsp":
                        tail = self._look(tail + data.replace(b"\r", b""))  # FFmpeg steps over \r wherever it is
                    if not data or self.redirected:
                        return
                    other.sendall(data)

    def _look(self, text: bytes) -> bytes:
        """Search what came from the server; returns its end, which may be the beginning of a reply."""
        end = text.rfind(b"RTSP/", max(0, len(text) - REPLY_BYTES + 1))
        if end < 0:
            end = max(0, len(text) - len(b"RTSP"))
        self.redirected = self.redirected or any(match.start() < end for match in REPLY.finditer(text))
        return text[end:]


def _receive(side: socket.socket) -> bytes | None:
    """What has come; None when that was TLS's own, such as a session ticket, and there is nothing to wait for."""
    if not isinstance(side, ssl.SSLSocket):
        return side.recv(CHUNK_BYTES)
    side.setblocking(False)
    try:
        return side.recv(CHUNK_BYTES)
    except ssl.SSLWantReadError:
        return None
    finally:
        side.setblocking(True)
