"""`--ice-server`: who is told of STUN and TURN servers, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from client.session import turn_servers
from tests.server.door.rtc import Publisher
from tests.server.door.running import Running, running_door

STUN_LINK = '<stun:stun.example.net>; rel="ice-server"'
TURN_LINK = (
    '<turn:turn.example.net:443?transport=tcp>; rel="ice-server"; username="venue"; credential="secret"; '
    'credential-type="password"'
)
BEARER = {"Authorization": "Bearer of-this-test"}


@pytest.fixture(scope="module")
def door() -> Iterator[Running]:
    servers = ("stun:stun.example.net", "turn:venue:secret@turn.example.net:443?transport=tcp")
    with running_door(ice_server=servers, token=("of-this-test",)) as running:
        yield running


def test_an_answer_tells_of_them(door: Running) -> None:
    async def run() -> None:
        publisher = Publisher(door, "/whip/stage", **BEARER)
        answer = await publisher.offer()
        assert answer.status == 201
        assert answer.headers.get_all("Link") == [STUN_LINK, TURN_LINK]
        await publisher.close()

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/whip/stage", "/stage/whip", "/whep/stage/redacted", "/stage/whep"])
def test_before_the_offer_only_callers_with_a_token_are_told(door: Running, path: str) -> None:
    answer = door.ask("OPTIONS", path, **BEARER)
    assert answer.headers.get_all("Link") == [STUN_LINK, TURN_LINK]
    for headers in ({}, {"Authorization": "Bearer other"}, {**BEARER, "Access-Control-Request-Method": "POST"}):
        answer = door.ask("OPTIONS", path, **headers)
        assert answer.status == 200
        assert answer.headers.get_all("Link") is None


def test_a_refusal_tells_nothing(door: Running) -> None:
    answer = door.ask("POST", "/whip/other", "v=0", Content_Type="application/sdp", **BEARER)
    assert answer.status == 400
    assert answer.headers.get_all("Link") is None


def test_own_clients_take_the_turn_servers(door: Running) -> None:
    (server,) = asyncio.run(turn_servers(f"{door.url}/whip/stage", "of-this-test"))
    assert server.urls == ["turn:turn.example.net:443?transport=tcp"]
    assert (server.username, server.credential) == ("venue", "secret")
    assert asyncio.run(turn_servers(f"{door.url}/whip/stage", "other")) == []
    assert asyncio.run(turn_servers("http://127.0.0.1:9/whip/stage", None)) == []
