"""A router in user space: passes ports on to one machine behind it; loses, delays and reorders UDP by a seeded dice, or has
it queue for a narrow line.

`tc netem` does the same where the kernel has it and one may use it; this needs neither. As a process, in a network namespace
of its own:  python -m benchmarks.wire 10.0.1.1 10.0.2.2 --udp 50000-50019 --tcp 8080
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

CHUNK_BYTES: Final = 64 << 10
STOP_S: Final = 30


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to each datagram, whichever way it goes."""

    loss: float = 0.0
    """Which part of them is lost, 0 to 1."""
    jitter_ms: float = 0.0
    """Each is held up by 0 to this many milliseconds."""
    reorders: bool = False
    """Whether one that is held up less overtakes those before it; else it waits for them."""
    bit_s: float | None = None
    """What the line takes, each way."""
    queue_ms: float = 500.0
    """How long a datagram waits for the line at most; there is no room for more."""


CLEAR: Final = Weather()


class Wire:
    """Passes `udp` and `tcp` ports of `outside` on to `inside`, whose answers go back: a router with port mapping.

    `weather`, by port, may be set at any time and from any thread; where none is set it is clear.
    """

    def __init__(self, outside: str, inside: str, udp: range, tcp: int | None = None, seed: int = 1) -> None:
        self.outside, self.inside = outside, inside
        self.weather: dict[int, Weather] = {}
        self.passed = self.lost = 0
        self.ports: set[int] = set()
        """Those that something has come to."""
        self._udp, self._tcp = udp, tcp
        self._dice = random.Random(seed)
        self._open: list[Any] = []
        self._piping: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """
        Raises:
            OSError: a port is in use, or the address is not this machine's.
        """
        for port in self._udp:
            await self._listen(lambda port=port: _Outside(self, port), (self.outside, port))
        if self._tcp is not None:
            self._open.append(await asyncio.start_server(self._connect, self.outside, self._tcp))

    async def close(self) -> None:
        for task in self._piping:
            task.cancel()
        for one in self._open:
            one.close()
        await asyncio.gather(*self._piping, return_exceptions=True)

    def carry(self, port: int, way: _Way, transport: Any, data: bytes, address: Any = None) -> None:
        """Send it now, later or never."""
        weather, loop = self.weather.get(port, CLEAR), asyncio.get_running_loop()
        if self._dice.random() < weather.loss:
            self.lost += 1
            return
        now_s = loop.time()
        way.line_free_s = max(way.line_free_s, now_s)
        if way.line_free_s - now_s > weather.queue_ms / 1000:
            self.lost += 1
            return
        self.passed += 1
        way.line_free_s += 8 * len(data) / weather.bit_s if weather.bit_s else 0.0
        at_s = way.line_free_s + self._dice.uniform(0, weather.jitter_ms) / 1000
        if not weather.reorders:
            at_s = way.free_s = max(way.free_s, at_s)
        loop.call_at(at_s, _send, transport, data, address)

    async def to_inside(self, outer: _Outside, client: Any) -> _Inside:
        return await self._listen(lambda: _Inside(self, outer, client), remote=(self.inside, outer.port))

    async def _listen(self, protocol: Any, local: Any = None, remote: Any = None) -> Any:
        loop = asyncio.get_running_loop()
        transport, made = await loop.create_datagram_endpoint(protocol, local_addr=local, remote_addr=remote)
        self._open.append(transport)
        return made

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, to_inner = await asyncio.open_connection(self.inside, self._tcp)
        except OSError:
            writer.close()
            return
        self._keep(_pipe(reader, to_inner))
        self._keep(_pipe(inner, writer))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._piping.add(task)
        task.add_done_callback(self._piping.discard)


class _Way(asyncio.DatagramProtocol):
    """One direction of a flow; `free_s` is when its last datagram gets there, `line_free_s` when that one has left the line."""

    free_s = line_free_s = 0.0
    transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def error_received(self, error: Exception) -> None:
        """Nobody listens there any more: what is sent to them is lost, as on any wire."""


class _Outside(_Way):
    """One mapped port, as the clients see it."""

    def __init__(self, wire: Wire, port: int) -> None:
        self._wire, self.port = wire, port
        self._flows: dict[Any, asyncio.Task[_Inside]] = {}

    def datagram_received(self, data: bytes, client: Any) -> None:
        flow = self._flows.get(client)
        if flow is None:
            flow = self._flows[client] = asyncio.ensure_future(self._wire.to_inside(self, client))
            self._wire.ports.add(self.port)
        flow.add_done_callback(lambda flow: self._wire.carry(self.port, flow.result(), flow.result().transport, data))


class _Inside(_Way):
    """The router's own port for one client, as the machine behind it sees it."""

    def __init__(self, wire: Wire, outer: _Outside, client: Any) -> None:
        self._wire, self._outer, self._client = wire, outer, client
        self.back = _Way()

    def datagram_received(self, data: bytes, _: Any) -> None:
        self._wire.carry(self._outer.port, self.back, self._outer.transport, data, self._client)


def _send(transport: asyncio.DatagramTransport, data: bytes, address: Any) -> None:
    if not transport.is_closing():
        transport.sendto(data, address)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@contextmanager
def wired(outside: str, inside: str, udp: range) -> Iterator[Wire]:
    """A wire in a thread of its own."""
    wire = Wire(outside, inside, udp)
    with background() as run:
        try:
            run(wire.open())
            yield wire
        finally:
            run(wire.close())


@contextmanager
def background() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """An event loop in a thread of its own: a function that runs a coroutine there and waits for its end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(STOP_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_S)
        loop.close()


def free_udp_ports(count: int) -> range:
    """Ports in a row that nobody has at this moment on any address."""
    dice = random.SystemRandom()
    for _ in range(100):
        first = dice.randrange(20000, 30000)
        if all(_is_free(port) for port in range(first, first + count)):
            return range(first, first + count)
    raise OSError(f"no {count} free UDP ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("", port))
        except OSError:
            return False
        return True


async def _run(wire: Wire) -> None:
    await wire.open()
    print("open", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outside")
    parser.add_argument("inside")
    parser.add_argument("--udp", metavar="A-B")
    parser.add_argument("--tcp", type=int, metavar="PORT")
    given = parser.parse_args()
    first, last = map(int, given.udp.split("-")) if given.udp else (0, -1)
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(Wire(given.outside, given.inside, range(first, last + 1), given.tcp)))
