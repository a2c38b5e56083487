"""Runs the door on one address until it is told to end, and ends it within 5 s."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from engines.models.networks import Networks
from server import logs
from server.door import rtp
from server.door.app import create_app
from server.door.door import Door
from server.door.tls import context_of
from server.settings import Settings, SettingsError

MAX_HEADERS_BYTES: Final = 16 << 10
MAX_CONNECTIONS: Final = 512
GRACE_S: Final = 1


class CannotServe(Exception):
    """Not for want of right settings: somebody has the port, a library is another one, or a part of the door has failed. The
    text is one line."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        CannotServe: somebody has the port.
        SettingsError: there is no such address here, or the port needs more rights.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise SettingsError(f"host {host!r}: {error.strerror}") from None
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # :: is every address, those of IPv4 too, whatever the machine's default
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(
                f"port {port} on {host} is in use: stop what uses it, or name another with --port"
            ) from None
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def url_of(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class Protocol(H11Protocol):
    """Says 431 where headers are over the limit (RFC 6585 §5), and 400, as uvicorn does, of whatever else is no request."""

    def send_400_response(self, msg: str) -> None:
        if getattr(sys.exception(), "error_status_hint", 400) != 431:
            super().send_400_response(msg)
            return
        text = f"At most {MAX_HEADERS_BYTES >> 10} KiB of headers.".encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=431, headers=headers, reason=b"Request Header Fields Too Large"),
            h11.Data(data=text),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Signalled(uvicorn.Server):
    """Ends on SIGINT and SIGTERM, and raises neither again; in another thread than the main one it takes no signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Server(Signalled):
    """Ends its long-lived responses before it waits for them, and exits with 0 on SIGINT and SIGTERM. Ends by itself when a part
    of the door `has_failed`.

    Raises:
        SettingsError: a TLS certificate or key that cannot be used.
    """

    def __init__(self, door: Door, listener: socket.socket, announce: Callable[[str], None]) -> None:
        tls = context_of(door.settings)
        super().__init__(
            uvicorn.Config(
                create_app(door),
                loop="uvloop",
                http=Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=MAX_HEADERS_BYTES,
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_S,
                ssl_context_factory=(lambda config, default: tls) if tls else None,
            )
        )
        self._door, self._listener, self._announce = door, listener, announce
        self.has_failed = False
        door.on_failed = self._fail

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            url = url_of(self._listener, "https" if self.config.is_ssl else "http")
            self._announce(f"Fancam serves on {url}")
            self._announce(
                f"  publish (WHIP): {url}/whip/NAME   watch (WHEP): {url}/whep/NAME/redacted   HTTP: {url}/docs"
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.events.close()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # of clients that do not read what they have asked for
            connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0)

    def _fail(self) -> None:
        self.has_failed = self.should_exit = True


def serve(settings: Settings, announce: Callable[[str], None], networks: Networks | None = None) -> None:
    """Serve until SIGINT or SIGTERM, with the built-in network unless others are given.

    Raises:
        SettingsError: settings that cannot be served with.
        CannotServe: the port is taken, aiortc is not the one we know, or a part of the door has failed while it served.
    """
    logs.set_up("door", as_json=settings.log_json, verbose=settings.verbose)
    try:
        door = Door(settings, networks=networks)
    except rtp.Changed as error:
        raise CannotServe(str(error)) from error
    with listen(settings.host, settings.port) as listener:
        server = Server(door, listener, announce)
        server.run(sockets=[listener])
    if server.has_failed:
        raise CannotServe("a part of the server has failed, which the log tells of above: start it again")
