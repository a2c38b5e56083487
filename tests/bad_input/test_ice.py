"""ICE: trickled fragments, candidates that point elsewhere, and datagrams that are no STUN and no DTLS."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.bad_input.offers import SDP, offer
from tests.bad_input.serving import Server
from tests.server.door.running import Answer

FRAGMENT = "application/trickle-ice-sdpfrag"
GOOD = "a=candidate:1 1 udp 2113937151 {} {} typ host\r\n"


@contextmanager
def opened(server: Server, sdp: str | None = None) -> Iterator[Answer]:
    answer = server.ask("POST", "/whip/bad", sdp or offer("sendonly"), Content_Type=SDP)
    assert answer.status == 201
    try:
        yield answer
    finally:
        assert server.ask("DELETE", answer.headers["Location"]).status == 200


@pytest.fixture
def session(server: Server) -> Iterator[Answer]:
    with opened(server) as answer:
        yield answer


def patch(server: Server, session: Answer, body: str | bytes, **headers: str) -> int:
    headers = {"If_Match": session.headers["ETag"], "Content_Type": FRAGMENT, **headers}
    return server.ask("PATCH", session.headers["Location"], body, **headers).status


UFRAG = re.compile(r"a=ice-ufrag:.*")
FRAGMENTS: dict[str, tuple[str | bytes, int]] = {
    "nothing": ("", 400),
    "words": ("hello", 400),
    "JSON": ('{"candidate":""}', 400),
    "an offer": ("v=0\r\no=- 1 1 IN IP4 x\r\n", 204),
    "not UTF-8": (b"a=\xff\xfe", 400),
    "UTF-16": ("a=candidate:1".encode("utf-16"), 400),
    "NULs": ("\0" * 99, 400),
    "upper case": ("A=candidate:1\r\n", 400),
    "a space first": (" a=candidate:1\r\n", 400),
    "33 candidates": (GOOD.format("192.0.2.1", 9) * 33, 422),
    "100 candidates": (GOOD.format("192.0.2.1", 9) * 100, 422),
    "another ufrag": ("a=ice-ufrag:restart\r\na=ice-pwd:" + "p" * 24 + "\r\n", 422),
    "two ufrags": ("a=ice-ufrag:aaaa\r\na=ice-ufrag:bbbb\r\n", 422),
    "over 8 kB": ("a=x:" + "x" * 9000, 413),
    "a line of 8 kB": ("a=x:" + "x" * 8000, 204),
    "blank lines": ("\r\n\r\na=end-of-candidates\r\n", 204),
    "an empty ufrag": ("a=ice-ufrag:\r\n", 204),
    "no more than a=": ("a=\r\n", 204),
    "mids of nobody": ("m=video 9 RTP/AVP 0\r\na=mid:77\r\n" + GOOD.format("192.0.2.1", 9), 204),
}


@pytest.mark.parametrize(("body", "status"), FRAGMENTS.values(), ids=FRAGMENTS)
def test_fragments(server: Server, session: Answer, body: str | bytes, status: int) -> None:
    assert patch(server, session, body) == status


CANDIDATES = [
    "candidate:",
    "candidate:1",
    "candidate:1 1",
    "candidate:1 1 udp",
    "candidate:1 1 udp 1 192.0.2.1",
    "candidate:x x x x x x x x",
    "candidate:1 1 udp 1 192.0.2.1 9 typ",
    "candidate:1 1 udp 1 192.0.2.1 9 typ nobody",
    "candidate:1 1 udp -1 192.0.2.1 9 typ host",
    "candidate:1 1 udp 1 192.0.2.1 99999 typ host",
    "candidate:1 1 udp 1 192.0.2.1 -1 typ host",
    "candidate:1 1 udp 1 ::1 9 typ host",
    "candidate:1 1 udp 1 192.0.2.1 0 typ host",
    "candidate:1 1 udp 1 192.0.2.1 22 typ host",
    "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype x",
    "candidate:1 1 ssltcp 1 192.0.2.1 443 typ host",
    "candidate:1 9 udp 1 192.0.2.1 9 typ host",
    "candidate:1 1 udp 1 224.0.0.1 9 typ host",
    "candidate:1 1 udp 1 255.255.255.255 9 typ host",
    "candidate:1 1 udp 1 0.0.0.0 9 typ host",
    "candidate:1 1 udp 1 169.254.169.254 80 typ host",
    "candidate:1 1 udp 1 10.0.0.1 9 typ host",
    "candidate:1 1 udp 1 evil.example 9 typ host",
    "candidate:1 1 udp 1 x.local 9 typ host",
    "candidate:1 1 udp 1 [::1] 9 typ host",
    "candidate:1 1 udp 1 1 9 typ host",
    "candidate:1 1 udp 1 0x7f.1 9 typ host",
    "candidate:1 1 udp 99999999999999999999 192.0.2.1 9 typ host",
    "candidate:1 1 udp 1 192.0.2.1 9 typ relay raddr evil.example rport x",
    "candidate:" + "f" * 4000 + " 1 udp 1 192.0.2.1 9 typ host",
    "candidate:1 1 udp 1 192.0.2.1 9 typ host " + "x y " * 900,
    "candidate:\0 1 udp 1 192.0.2.1 9 typ host",
    "candidate:1 1 udp 1 ::ffff:127.0.0.1 9 typ host",
    "candidate:1 1 udp 1 fe80::1%25eth0 9 typ host",
]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=range(len(CANDIDATES)))
def test_candidates_are_counted_whatever_they_say(server: Server, candidate: str) -> None:
    with opened(server, offer("sendonly") + f"a={candidate}\r\n") as session:
        assert patch(server, session, f"a={candidate}\r\n") == 204


@pytest.mark.parametrize("tag", [None, "", "*", "x", '"x"', 'W/"x"', '"' + "a" * 5000 + '"'])
def test_tags(server: Server, session: Answer, tag: str | None) -> None:
    headers = {} if tag is None else {"If_Match": tag}
    answer = server.ask(
        "PATCH", session.headers["Location"], "a=end-of-candidates\r\n", Content_Type=FRAGMENT, **headers
    )
    assert answer.status == (428 if tag is None else 422 if tag == "*" else 412)


@pytest.mark.parametrize("ident", ["x", "", "..", "%00", "a" * 4000, "%2e%2e%2f", "session"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/whip/bad/", "/whep/session/"])
def test_sessions_of_nobody(server: Server, path: str, method: str, ident: str) -> None:
    assert server.ask(method, path + ident, "a=x\r\n", Content_Type=FRAGMENT, If_Match="x").status in (404, 405)


def test_nobody_named_as_a_candidate_hears_of_it(server: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim:
        victim.bind(("127.0.0.1", 0))
        victim.settimeout(1)
        named = GOOD.format(*victim.getsockname())
        with opened(server, offer("sendonly") + named) as session:
            assert patch(server, session, named + "a=end-of-candidates\r\n") == 204
            with pytest.raises(TimeoutError):
                victim.recv(2048)


STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
DATAGRAMS: dict[str, bytes] = {
    "empty": b"",
    "a zero": b"\0",
    "words": b"hello",
    "zeros": bytes(1200),
    "ones": b"\xff" * 1200,
    "STUN, bare": STUN,
    "STUN, cut": STUN[:11],
    "STUN, longer than it is": STUN[:2] + b"\xff\xfc" + STUN[4:],
    "STUN, odd length": STUN[:2] + b"\0\3" + STUN[4:] + b"abc",
    "STUN, another cookie": STUN[:4] + b"abcd" + STUN[8:],
    "STUN, unknown method": b"\x3f\xff" + STUN[2:],
    "STUN, an answer": b"\x01\x01" + STUN[2:],
    "STUN, an error": b"\x01\x11" + STUN[2:],
    "STUN, username cut": STUN[:2] + b"\0\4" + STUN[4:] + b"\0\6\xff\xff",
    "STUN, username not UTF-8": STUN[:2] + b"\0\x08" + STUN[4:] + b"\0\6\0\4\xff\xfe\xfd\xfc",
    "STUN, no integrity": STUN[:2] + b"\0\x08" + STUN[4:] + b"\0\6\0\4a:bc",
    "STUN, wrong integrity": STUN[:2] + b"\0\x18" + STUN[4:] + b"\0\x08\0\x14" + bytes(20),
    "STUN, fingerprint wrong": STUN[:2] + b"\0\x08" + STUN[4:] + b"\x80\x28\0\4abcd",
    "STUN, address cut": STUN[:2] + b"\0\4" + STUN[4:] + b"\0\x20\0\0",
    "STUN, address of family 9": b"\x01\x01\0\x0c" + STUN[4:] + b"\0\x20\0\x08\0\x09\0\0\0\0\0\0",
    "STUN, use-candidate": STUN[:2] + b"\0\4" + STUN[4:] + b"\0\x25\0\0",
    "STUN, 300 attributes": STUN[:2] + (1200).to_bytes(2, "big") + STUN[4:] + b"\x7f\xff\0\0" * 300,
    "STUN, error code cut": b"\x01\x11\0\4" + STUN[4:] + b"\0\x09\0\0",
    "DTLS, ClientHello cut": b"\x16\xfe\xff" + bytes(10),
    "DTLS, long": b"\x16\xfe\xfd" + bytes(8) + b"\xff\xff" + bytes(100),
    "DTLS, alert": b"\x15\xfe\xfd" + bytes(8) + b"\0\2\2\x28",
    "DTLS, data": b"\x17\xfe\xfd" + bytes(8) + b"\0\1x",
    "RTP, plain": b"\x80\x60" + bytes(10),
    "RTCP, plain": b"\x80\xc8\0\1" + bytes(4),
    "TURN channel": b"\x40\0\0\4abcd",
}


def ports(session: Answer) -> list[int]:
    """Where the session's sockets of 127.0.0.1 are."""
    return [int(port) for port in re.findall(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+)", session.body.decode())]


@pytest.fixture(scope="module")
def waiting(server: Server) -> Iterator[Callable[[], list[int]]]:
    """The ports of a session that waits for its peer; another one when that has waited too long."""
    state: dict[str, float | Answer] = {"since_s": -99.0}

    def fresh() -> list[int]:
        if time.monotonic() - float(str(state["since_s"])) > 8:
            if "session" in state:
                server.ask("DELETE", state["session"].headers["Location"])  # type: ignore[union-attr]
            state["session"] = server.ask("POST", "/whip/bad", offer("sendonly"), Content_Type=SDP)
            state["since_s"] = time.monotonic()
        found = ports(state["session"])  # type: ignore[arg-type]
        assert found
        return found

    yield fresh
    if "session" in state:
        server.ask("DELETE", state["session"].headers["Location"])  # type: ignore[union-attr]


@pytest.mark.parametrize("data", DATAGRAMS.values(), ids=DATAGRAMS)
def test_datagrams_before_a_connection(server: Server, waiting: Callable[[], list[int]], data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for port in waiting():
            for _ in range(5):
                sock.sendto(data, ("127.0.0.1", port))
    assert server.ask("GET", "/healthz").status == 200


def test_mutated_datagrams(server: Server, waiting: Callable[[], list[int]], tried: Callable[[int], None]) -> None:
    chance = random.Random(13)
    known = [data for data in DATAGRAMS.values() if data]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        to = [("127.0.0.1", port) for port in waiting()]
        for number in range(2000):
            data = bytearray(chance.choice(known))
            for _ in range(chance.randint(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            sock.sendto(data[: chance.randint(1, len(data))], chance.choice(to))
            if number % 50 == 49:
                assert server.ask("GET", "/healthz").status == 200
    tried(2000)
