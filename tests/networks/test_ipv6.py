"""IPv6: the server on `::1` and on `::`, and media between IPv6 addresses alone."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aioice import ice
from aiortc import RTCSessionDescription

from benchmarks.wire import free_udp_ports
from client.session import post_offer
from client.watch import Watcher
from server.door import rtp
from server.door.door import Door
from server.door.serve import Server, listen
from server.settings import Settings
from tests.networks.test_ports import candidates
from tests.server.door.plain import Sender
from tests.server.door.running import DEADLINE_S, FAKE_STUDIO, wait_until


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6: ::1 cannot be bound")


@contextmanager
def serving(host: str, **settings: str) -> Iterator[tuple[int, list[str]]]:
    """A door on `host`: its port, and the lines that it announces."""
    lines: list[str] = []
    door = Door(Settings(host=host, port=0, **settings), FAKE_STUDIO)
    with listen(host, 0) as listener:
        server = Server(door, listener, announce=lines.append)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: len(lines) == 2 or not thread.is_alive(), "the server's start")
            yield listener.getsockname()[1], lines
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), "the door did not end"


def status(address: str, port: int, path: str = "/readyz") -> int:
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_published_and_watched_over_ipv6_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rtp.prepare()
    both = ice.get_host_addresses
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: both(False, use_ipv6))
    monkeypatch.setattr(ice.get_host_addresses, "with_loopback", True, raising=False)
    ports = free_udp_ports(10)

    async def run(url: str) -> None:
        sender = Sender()
        try:
            answer, session = await post_offer(f"{url}/whip/stage", None, await sender.offer())
            assert session.startswith(f"{url}/whip/stage/")
            told = candidates(answer.encode())
            assert "::1" in {address for address, _ in told}
            assert all(":" in address for address, _ in told)
            await sender.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            units: list[object] = []
            async with Watcher(f"{url}/whep/stage/raw", on_unit=units.append):
                await sender.send_until(lambda: len(units) > 10, "frames")
        finally:
            await sender.pc.close()

    with serving("::1", udp_ports=f"{ports[0]}-{ports[-1]}") as (port, lines):
        assert lines[0] == f"Fancam serves on http://[::1]:{port}"
        wait_until(lambda: status("::1", port) == 200, "a warm studio", 60)
        asyncio.run(run(f"http://[::1]:{port}"))


def test_a_server_on_every_address_answers_by_ipv4_too() -> None:
    with serving("::", token="secret") as (port, _):
        for address in ("127.0.0.1", "::1"):
            assert status(address, port, "/healthz") == 200
            assert status(address, port, "/streams") == 401


def test_an_ipv6_address_is_advertised() -> None:
    async def run(url: str) -> None:
        sender = Sender()
        try:
            answer, _ = await post_offer(f"{url}/whip/stage", None, await sender.offer())
            assert [address for address, _ in candidates(answer.encode())] == ["2001:db8::7"]
        finally:
            await sender.pc.close()

    with serving("::1", advertise="2001:db8::7") as (port, _):
        wait_until(lambda: status("::1", port) == 200, "a warm studio", 60)
        asyncio.run(run(f"http://[::1]:{port}"))
