"""Keeps one input running: a process that reads its source, started again, ever later, when the source is lost."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from engines.frame import RTP_CLOCK_HZ
from server.door.broadcast import AccessUnit
from server.door.offer import CODECS
from server.link import OPUS_CLOCK_HZ, Flag, Kind, Message, Parser, ProtocolError, json_body
from server.pull.address import Address

logger = logging.getLogger(__name__)

READER_COMMAND: Final = (sys.executable, "-P", "-m", "server.pull")
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
STEADY_S: Final = 10.0
"""An input that has run for so long is started again soon when it is lost."""
SILENCE_S: Final = 15.0
"""A reader gives up after 10 s itself, unless it hangs."""
LOOK_S: Final = 1.0


class Lost(Exception):
    """A reader's end: `why` is refused, silent, failed or ended; the text is one line without credentials."""

    def __init__(self, why: str, reason: str) -> None:
        super().__init__(reason)
        self.why = why


class Listener(Protocol):
    """Who is told of an input."""

    def on_ready(self) -> None:
        """It is read; its units follow."""

    def on_unit(self, unit: AccessUnit) -> None: ...

    def on_audio(self, payload: bytes, rtp_time: int) -> None: ...

    def on_lost(self, lost: Lost) -> bool:
        """It is read no more; whether it is to be started again."""


class Pull:
    """One input, which `run` reads until it is cancelled or its listener has had enough."""

    def __init__(self, name: str, wishes: dict[str, Any], listener: Listener) -> None:
        """`wishes`: source, loop, allow_private, allow_local, as in `server.pull.source.Source`."""
        self.name, self.label, self.kind = name, *label_of(wishes["source"])
        self.codec = "h264"
        self.last_packet_ns = 0
        self.state = "starting"
        """starting, running or lost."""
        self.restarts = 0
        self._wishes, self._listener = wishes, listener
        self._reader: _Reader | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_time = 0
        self._shift: int | None = None
        """What is added to a reader's RTP times, because the one before had run ahead of the clock."""

    def start(self) -> None:
        """Begin to read, in the running event loop."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """End the reader."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def request_key(self) -> None:
        """A key frame, which only video that is encoded anew can give."""
        if self._reader is not None:
            self._reader.send(Kind.NEED_KEY)

    def describe(self) -> dict[str, Any]:
        """What GET /streams tells of it; who may watch need not know where a camera is."""
        return {"kind": self.kind, "state": self.state, "restarts": self.restarts}

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            started_s = time.monotonic()
            lost = await self._read()
            was_running, self.state = self.state == "running", "lost"
            if not self._listener.on_lost(lost):
                return
            self.restarts += 1
            if was_running and time.monotonic() - started_s > STEADY_S:
                wait_s = FIRST_WAIT_S
            logger.warning(
                "input %s (%s) is lost: %s; again in %g s", self.name, self.label, lost, wait_s,
                extra={"stream": self.name},
            )  # fmt: skip
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def _read(self) -> Lost:
        """Run one reader to its end, and say why it ended."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                # A session of its own: Ctrl-C in the terminal is for the door.
                process = subprocess.Popen(  # noqa: ASYNC220 (returns in a few ms)
                    [*READER_COMMAND, "--fd", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                return Lost("failed", f"no reader can be started: {error.strerror}")
        reader = self._reader = _Reader(self._received)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: reader, sock=ours)
            reader.send(Kind.HELLO, json_body(self._wishes))
            return await self._watch(reader)
        finally:
            self._reader = None
            reader.close()
            process.kill()
            await _ended(process)

    async def _watch(self, reader: _Reader) -> Lost:
        while not reader.lost.done():
            await asyncio.wait([reader.lost], timeout=LOOK_S)
            if self.kind != "file" and time.monotonic() - reader.heard_s > SILENCE_S:
                return Lost("silent", f"nothing came for {SILENCE_S:g} s")
        return reader.lost.result()

    def _received(self, message: Message) -> None:
        if message.kind is Kind.READY:
            codec = message.json()["codec"]
            if codec not in CODECS:
                raise ProtocolError(f"codec {codec!r}")
            self.codec, self.state = codec, "running"
            self._shift = None
            logger.info("input %s (%s) runs", self.name, self.label, extra={"stream": self.name})
            self._listener.on_ready()
        elif message.kind is Kind.ACCESS_UNIT:
            self.last_packet_ns = time.monotonic_ns()
            if self._shift is None:
                self._shift = max(0, self._last_time + 1 - message.rtp_time)
            self._last_time = message.rtp_time + self._shift
            key = bool(message.flags & Flag.KEY)
            self._listener.on_unit(AccessUnit(bytes(message.body), self._last_time, key, message.arrival_ns, 0))
        elif message.kind is Kind.AUDIO:
            shift = (self._shift or 0) * OPUS_CLOCK_HZ // RTP_CLOCK_HZ
            self._listener.on_audio(bytes(message.body), message.rtp_time + shift)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for it in a thread, also when cancelled meanwhile, which would take back a wait that has no thread yet."""
    waiting = asyncio.ensure_future(asyncio.to_thread(process.wait))
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting
        raise


class _Reader(asyncio.Protocol):
    """The door's end of the link to one reader."""

    def __init__(self, on_message: Callable[[Message], None]) -> None:
        self.lost: asyncio.Future[Lost] = asyncio.get_running_loop().create_future()
        self.heard_s = time.monotonic()
        self._on_message = on_message
        self._parser = Parser()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.heard_s = time.monotonic()
        try:
            for message in self._parser.feed(data):
                if message.kind is Kind.FAILED:
                    failure = message.json()
                    self._end(Lost(failure["why"], failure["reason"]))
                elif not self.lost.done():
                    self._on_message(message)
        except ProtocolError as error:
            self._end(Lost("failed", f"its reader sent nonsense: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Lost("failed", "its reader has died"))

    def send(self, kind: Kind, body: bytes = b"") -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(Message(kind, 0, body).pack())

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _end(self, lost: Lost) -> None:
        if not self.lost.done():
            self.lost.set_result(lost)


def label_of(source: str) -> tuple[str, str]:
    """What may be said of a source in the log (no credentials, no path), and its kind.

    Raises:
        Refused: an address that cannot be one.
    """
    if "://" in source:
        address = Address.parse(source)
        return str(address), address.protocol
    return (f"webcam {source}", "webcam") if source.isdecimal() else (source, "file")
