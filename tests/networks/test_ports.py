"""`--udp-ports` and `--advertise`: where media goes through, and what clients are told of it."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from aioice import ice

from benchmarks.wire import free_udp_ports, wired
from server.door import rtp
from server.door.network import Network, NoPort
from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Running, running_door

CANDIDATE = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\S+)", re.M)


def candidates(answer: bytes) -> list[tuple[str, int]]:
    """Address and port of each; all of them are host candidates."""
    found = CANDIDATE.findall(answer.decode())
    assert {kind for *_, kind in found} == {"host"}
    return [(address, int(port)) for address, port, _ in found]


@contextmanager
def taken(ports: range) -> Iterator[None]:
    with ExitStack() as stack:
        for port in ports:
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind(("127.0.0.1", port))
        yield


def with_publisher(door: Running, work: object, path: str = "/whip/stage") -> None:
    async def run() -> None:
        publisher = Publisher(door, path)
        try:
            await work(publisher)  # type: ignore[operator]
        finally:
            await publisher.close()

    asyncio.run(run())


def test_media_stays_within_the_range() -> None:
    ports = free_udp_ports(10)

    async def work(publisher: Publisher) -> None:
        answer = await publisher.offer()
        assert answer.status == 201, answer.body
        told = candidates(answer.body)
        assert {port for _, port in told} <= set(ports)
        assert len({port for _, port in told}) == 1
        assert {address for address, _ in told} == set(ice.get_host_addresses(True, True))
        await until(lambda: publisher.pc.connectionState == "connected", "a connection")

    with running_door(udp_ports=f"{ports[0]}-{ports[-1]}") as door:
        with_publisher(door, work)


def test_without_a_free_port_a_session_is_refused_until_there_is_one() -> None:
    ports = free_udp_ports(10)

    async def refused(publisher: Publisher) -> None:
        answer = await publisher.offer()
        assert answer.status == 503
        assert f"{ports[0]}-{ports[-1]}" in answer.json()["detail"]
        assert "--udp-ports" in answer.json()["detail"]
        assert answer.headers["Retry-After"]

    async def taken_in(publisher: Publisher) -> None:
        answer = await publisher.offer()
        assert answer.status == 201, answer.body
        assert {port for _, port in candidates(answer.body)} == {ports[-1]}

    with running_door(udp_ports=f"{ports[0]}-{ports[-1]}") as door:
        with taken(ports):
            with_publisher(door, refused)
        assert door.ask("GET", "/streams").json()["streams"] == []
        with taken(ports[:-1]):
            with_publisher(door, taken_in)


def test_a_session_gives_its_port_back() -> None:
    ports = free_udp_ports(10)

    async def work(publisher: Publisher) -> None:
        answer = await publisher.offer()
        assert answer.status == 201, answer.body
        assert {port for _, port in candidates(answer.body)} == {ports[0]}
        assert (await publisher.ask("DELETE", publisher.session)).status == 200

    with running_door(udp_ports=f"{ports[0]}-{ports[-1]}") as door, taken(ports[1:]):
        for _ in range(3):
            with_publisher(door, work)


def test_through_a_router_that_maps_ports_by_the_advertised_address() -> None:
    """The answer names the router's address alone, so nobody can have gone round it."""
    ports = free_udp_ports(10)

    async def run(door: Running) -> None:
        publisher, viewer = Publisher(door, "/whip/stage"), Viewer(door, "/whep/stage/redacted")
        answer = await publisher.offer()
        assert {address for address, _ in candidates(answer.body)} == {"127.0.0.9"}
        await until(lambda: publisher.pc.connectionState == "connected", "a publisher's connection")
        await until(lambda: door.ask("GET", "/streams").json()["streams"], "the stream")
        answer = await viewer.offer()
        assert {address for address, _ in candidates(answer.body)} == {"127.0.0.9"}
        await until(lambda: len(viewer.lumas) > 5, "a picture")
        await publisher.close()
        await viewer.close()

    with (
        wired("127.0.0.9", "127.0.0.1", ports) as wire,
        running_door(udp_ports=f"{ports[0]}-{ports[-1]}", advertise="127.0.0.9") as door,
    ):
        asyncio.run(run(door))
        assert wire.passed > 20


def test_without_a_range_the_port_is_any_and_one() -> None:
    sockets = Network().bind(["127.0.0.1", "127.0.0.2"])
    with sockets[0], sockets[1]:
        assert sockets[0].getsockname()[1] == sockets[1].getsockname()[1]


def test_an_address_that_is_not_here_is_left_out() -> None:
    (sock,) = Network().bind(["192.0.2.200", "127.0.0.1"])
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_a_port_that_another_address_has_taken_is_not_used() -> None:
    ports = free_udp_ports(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", ports[0]))
        sockets = Network(ports).bind(["127.0.0.1", "127.0.0.2"])
        assert {sock.getsockname()[1] for sock in sockets} == {ports[1]}
        with pytest.raises(NoPort, match=f"{ports[0]}-{ports[1]}"):
            Network(ports).bind(["127.0.0.1", "127.0.0.2"])
        for sock in sockets:
            sock.close()


def test_when_there_can_be_no_more_sockets_that_is_said_and_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    class Last(socket.socket):
        def __init__(self, *arguments: object) -> None:
            if made:
                raise OSError(errno.EMFILE, "Too many open files")
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(socket, "socket", Last)
    with pytest.raises(NoPort, match="Too many open files"):
        Network().bind(["127.0.0.1", "127.0.0.2"])
    assert made[0].fileno() == -1


def test_what_aioice_asks_for_when_it_gathers_is_what_is_replaced() -> None:
    """Contract: `gather_candidates` calls `get_component_candidates` of the instance, and tells what that returns."""
    rtp.prepare()

    async def run() -> None:
        connection = ice.Connection(ice_controlling=False)
        asked = []

        async def get_component_candidates(component: int, addresses: list[str]) -> list[ice.Candidate]:
            asked.append((component, addresses))
            return [ice.Candidate("f", component, "udp", 1, "203.0.113.7", 50000, "host")]

        connection.get_component_candidates = get_component_candidates  # type: ignore[method-assign,assignment]
        await connection.gather_candidates()
        assert asked == [(1, ice.get_host_addresses(True, True))]
        assert [(one.host, one.port) for one in connection.local_candidates] == [("203.0.113.7", 50000)]
        await connection.close()

    asyncio.run(run())
