"""Server-sent events over real HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import takewhile
from typing import Any

import pytest

from server.door.events import MAX_LISTENERS_A_CALLER, MAX_QUEUED
from tests.server.door.rtc import Publisher, until
from tests.server.door.running import Running, running_door, wait_until


def events(response: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    """The events as they come."""
    name = ""
    while line := response.fp.readline():  # the body is chunked, but the lines of events stand whole in their chunks
        text = line.decode().rstrip("\r\n")
        if text.startswith("event: "):
            name = text.removeprefix("event: ")
        elif text.startswith("data: "):
            yield name, json.loads(text.removeprefix("data: "))


def listen(door: Running) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=15)
    connection.request("GET", "/events")
    return connection


def test_a_listener_hears_what_exists_at_once_and_then_a_heartbeat(
    start_door: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.door.events.HEARTBEAT_S", 0.3)
    door = start_door(warm=False)
    with closing(listen(door)) as connection:
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        heard = events(response)
        assert next(heard) == ("streams", {"streams": []})
        while (event := next(heard)) == ("streams", {"streams": []}):
            pass  # said once more when the studio gets ready meanwhile
        assert event == ("heartbeat", {})
        response.close()


def test_a_listener_hears_of_a_stream_that_begins_and_ends(start_door: Callable[..., Running]) -> None:
    door = start_door()

    async def come_and_go() -> None:
        publisher = Publisher(door, "/whip/stage")
        assert (await publisher.offer()).status == 201
        await until(lambda: door.door.hub.streams["stage"].tracks, "a track")
        await asyncio.sleep(0.3)
        assert (await publisher.ask("DELETE", publisher.session)).status == 200
        await publisher.close()

    with closing(listen(door)) as connection:
        response = connection.getresponse()
        heard = (data["streams"] for name, data in events(response) if name == "streams")
        assert next(heard) == []
        asyncio.run(come_and_go())
        told = list(takewhile(bool, heard))
        assert {stream["name"] for streams in told for stream in streams} == {"stage"}
        assert told[-1][0]["state"] == "live"
        assert [track["id"] for track in told[-1][0]["tracks"]] == [7]
        assert "fancam/7" in [feed["name"] for feed in told[-1][0]["feeds"]]
        response.close()


def test_a_caller_has_four_listeners_and_gets_the_place_back(start_door: Callable[..., Running]) -> None:
    door = start_door(warm=False)
    connections = [listen(door) for _ in range(MAX_LISTENERS_A_CALLER)]
    responses = [connection.getresponse() for connection in connections]
    assert [response.status for response in responses] == [200] * MAX_LISTENERS_A_CALLER
    refused = door.ask("GET", "/events")
    assert refused.status == 429
    assert refused.headers["Retry-After"]
    for response, connection in zip(responses, connections, strict=True):
        response.close()
        connection.close()
    wait_until(lambda: len(door.door.events) == 0, "the listeners' ends to be noticed")


def test_a_listener_that_never_reads_is_let_go(start_door: Callable[..., Running]) -> None:
    door = start_door(warm=False)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", door.port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: len(door.door.events) == 1, "the listener")
        loop = door.loop
        text = b"data: " + b"x" * (1 << 16) + b"\n\n"

        def shout() -> bool:
            loop.call_soon_threadsafe(door.door.events._send, text)
            return len(door.door.events) == 0

        wait_until(shout, f"the end of one who has more than {MAX_QUEUED} events waiting")


def test_a_listener_that_never_reads_does_not_hold_up_the_end_nor_make_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as slow, running_door(warm=False) as door:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", door.port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: len(door.door.events) == 1, "the listener")
        listener = next(iter(door.door.events._listeners))

        def shout() -> bool:
            door.loop.call_soon_threadsafe(listener.tell, b"x" * (1 << 18))
            return listener._queue.qsize() > MAX_QUEUED // 4

        wait_until(shout, "the server to be stuck in the middle of an event")
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 3 * 2
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
