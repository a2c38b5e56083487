"""Keeps a studio running: starts it, watches it, and puts a warm spare in its place when it dies or falls silent."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from server.link import NO_FLAGS, Flag, Kind, Message, Parser, ProtocolError, header, json_body
from server.metrics import Metrics

logger = logging.getLogger(__name__)

STUDIO_COMMAND: Final = (sys.executable, "-P", "-m", "server.studio")
"""-P: a folder called server where the user stands is not ours."""
PING_INTERVAL_S: Final = 0.25
MAX_MISSED_PINGS: Final = 4
"""After so many pings without a word the studio counts as dead. Counted, not timed: a door that stood still itself must not
blame the studio."""
WARM_UP_S: Final = 900
"""Compilers for GPUs take minutes over all batches and sizes of pictures, the first time."""
SPARE_DELAY_S: Final = 2
SPARE_NICENESS: Final = 10
STOP_S: Final = 2
STEADY_S: Final = 10
"""A studio that has served for so long has not crashed on its start."""
MAX_BACK_OFF_S: Final = 30
LOUD_FAILURES: Final = 3


class StudioProcess(asyncio.Protocol):
    """One studio and the door's end of the link to it."""

    def __init__(self, epoch: int, process: subprocess.Popen[bytes], owner: Supervisor) -> None:
        self.epoch, self.process = epoch, process
        self.transport: asyncio.Transport | None = None
        self.started_s = time.monotonic()
        self.ready: dict[str, Any] | None = None
        """What READY told, once it has."""
        self.missed_pings = 0
        self._owner = owner
        self._parser = Parser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=1 << 30)  # never paused: the hub looks at the backlog itself

    def data_received(self, data: bytes) -> None:
        self.missed_pings = 0
        self._owner.metrics.link_bytes.labels("from_studio").inc(len(data))
        try:
            for message in self._parser.feed(data):
                if message.epoch == self.epoch:
                    self._owner.received(self, message)
        except ProtocolError as error:
            self._owner.lost(self, f"it sent nonsense: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self, "it ended")

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        body: bytes = b"",
        flags: Flag = NO_FLAGS,
        rtp_time: int = 0,
        arrival_ns: int = 0,
    ) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        head = header(Message(kind, ident, body, flags, self.epoch, rtp_time, arrival_ns))
        self.transport.writelines((head, body) if body else (head,))
        self._owner.metrics.link_bytes.labels("to_studio").inc(len(head) + len(body))

    def set_niceness(self, niceness: int) -> None:
        """Of all its threads: the kernel keeps it by thread."""
        try:
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)
        except OSError as error:
            logger.debug("niceness of studio %d not set: %s", self.process.pid, error)

    def kill(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        if self.process.poll() is None:
            self.process.kill()


class Supervisor:
    """The studio that serves and the one that could.

    `on_ready` is called when a studio begins to serve, `on_lost` when it has ceased to, `on_message` with what it sends
    (and with the slates of every studio, which are all alike).
    """

    def __init__(
        self,
        hello: dict[str, Any],
        metrics: Metrics,
        *,
        on_ready: Callable[[], None],
        on_lost: Callable[[], None],
        on_message: Callable[[Message], None],
        command: Sequence[str] = STUDIO_COMMAND,
    ) -> None:
        self.metrics = metrics
        self.ever_ready = False
        self.trouble: str | None = "warming up"
        """Why no studio serves, or None."""
        self._hello, self._command = hello, command
        self._on_ready, self._on_lost, self._on_message = on_ready, on_lost, on_message
        self._studios: list[StudioProcess] = []
        self._serving: StudioProcess | None = None
        self._ending: list[subprocess.Popen[bytes]] = []
        self._epoch = 0
        self._failures = 0
        self._start_due_s = 0.0
        # Only who may lower a niceness again can use one: a promoted spare must not stay behind.
        self._may_renice = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20

    @property
    def active(self) -> bool:
        """A studio serves."""
        return self._serving is not None

    @property
    def spare_ready(self) -> bool:
        return any(studio.ready is not None for studio in self._studios if studio is not self._serving)

    @property
    def backlog_bytes(self) -> int:
        """What waits to be read by the studio."""
        transport = self._serving.transport if self._serving else None
        return transport.get_write_buffer_size() if transport else 0

    @property
    def description(self) -> dict[str, Any] | None:
        """What the serving studio said of itself: its process id, runtime, model."""
        return self._serving.ready if self._serving else None

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        body: bytes = b"",
        flags: Flag = NO_FLAGS,
        rtp_time: int = 0,
        arrival_ns: int = 0,
    ) -> None:
        """To the studio that serves; nothing happens when none does."""
        if self._serving is not None:
            self._serving.send(kind, ident, body, flags, rtp_time, arrival_ns)

    async def run(self) -> None:
        """Start studios and watch them, until cancelled."""
        while True:
            wanted = 2 if self._serving else 1
            if len(self._studios) < wanted and time.monotonic() >= self._start_due_s:
                try:
                    await self._start()
                except OSError as error:
                    self.trouble = f"no studio can be started: {error}"
                    self._start_due_s = time.monotonic() + MAX_BACK_OFF_S
                    logger.error("%s", self.trouble)
            await asyncio.sleep(PING_INTERVAL_S)
            self._check()

    async def close(self) -> None:
        """Stop all studios; those that have not ended after 2 s are killed."""
        studios, self._studios, self._serving = self._studios, [], None
        for studio in studios:
            studio.send(Kind.STOP)
            self._ending.append(studio.process)
        deadline_s = time.monotonic() + STOP_S
        while self._reap() and time.monotonic() < deadline_s:  # noqa: ASYNC110 (a child's end is no event of the loop)
            await asyncio.sleep(0.02)
        for process in self._ending:
            process.kill()
            process.wait()
        for studio in studios:
            if studio.transport is not None:
                studio.transport.abort()

    def received(self, studio: StudioProcess, message: Message) -> None:
        """A message has come in from a studio."""
        if studio not in self._studios:
            return
        if message.kind is Kind.READY:
            studio.ready = message.json()
            if self._serving is None:
                self._promote(studio)
            elif studio is self._serving:  # with another runtime
                self._tell(studio)
        elif message.kind is Kind.SLATE or (studio is self._serving and message.kind is not Kind.PONG):
            self._on_message(message)

    def lost(self, studio: StudioProcess, reason: str) -> None:
        """A studio has ended, or is to: put the spare in its place. With each failure the next start comes later."""
        if studio not in self._studios:
            return
        self._studios.remove(studio)
        studio.kill()
        self._ending.append(studio.process)
        self._put_off_next_start(studio, reason)
        if self._serving in (None, studio):
            self.trouble = f"the studio is lost: {reason}"
        if studio is not self._serving:
            return
        self._serving = None
        self.metrics.studio_restarts.inc()
        self.metrics.studio_ready.set(0)
        self._on_lost()
        ready = next((other for other in self._studios if other.ready is not None), None)
        if ready is not None:
            self._promote(ready)

    def _put_off_next_start(self, studio: StudioProcess, reason: str) -> None:
        steady = studio.ready is not None and time.monotonic() - studio.started_s > STEADY_S
        self._failures = 1 if steady else self._failures + 1
        back_off_s = 0.0 if self._failures == 1 else min(MAX_BACK_OFF_S, 0.25 * 2**self._failures)
        self._start_due_s = time.monotonic() + back_off_s
        if self._failures < LOUD_FAILURES:
            logger.error("studio %d is lost: %s", studio.process.pid, reason)
        elif self._failures == LOUD_FAILURES:
            logger.error("studios keep being lost (%s): starting them ever more rarely, without a word", reason)

    def _promote(self, studio: StudioProcess) -> None:
        self._serving = studio
        self.ever_ready, self.trouble = True, None
        self.metrics.studio_ready.set(1)
        if self._may_renice:
            studio.set_niceness(0)
        self._start_due_s = max(self._start_due_s, time.monotonic() + SPARE_DELAY_S)
        self._tell(studio)
        self._on_ready()

    def _tell(self, studio: StudioProcess) -> None:
        ready = studio.ready or {}
        self.metrics.runtime_meanwhile.set("asked" in ready)
        told = ", ".join(f"{name} {value}" for name, value in ready.items() if name != "pid")
        logger.info("studio %d serves: %s", studio.process.pid, told)

    async def _start(self) -> None:
        """Start one more studio; the first is in a hurry, a spare is not."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            # A session of its own: Ctrl-C in the terminal is for the door, which tells its studios to stop.
            process = subprocess.Popen(  # noqa: ASYNC220 (returns in a few ms)
                [*self._command, "--fd", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._epoch += 1
        studio = StudioProcess(self._epoch, process, self)
        self._studios.append(studio)
        if self._serving is not None and self._may_renice:
            studio.set_niceness(SPARE_NICENESS)
        await asyncio.get_running_loop().create_unix_connection(lambda: studio, sock=ours)
        studio.send(Kind.HELLO, 0, json_body(self._hello))

    def _check(self) -> None:
        """Ping the studios that are ready; give up on those that are silent or never get ready."""
        self._reap()
        now_s = time.monotonic()
        for studio in list(self._studios):
            if studio.ready is None:
                if now_s - studio.started_s > WARM_UP_S:
                    self.lost(studio, f"it was not ready after {WARM_UP_S} s")
            elif studio.missed_pings >= MAX_MISSED_PINGS:
                self.lost(studio, "it was silent")
            else:
                studio.missed_pings += 1
                studio.send(Kind.PING)

    def _reap(self) -> bool:
        """Collect the processes that have ended; true while some have not."""
        self._ending = [process for process in self._ending if process.poll() is None]
        return bool(self._ending)
