"""Where a pulled source may not lead: 127.0.0.1 stands for the open internet here, 127.0.0.2 for the private network."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.pull import address, opening
from server.pull.address import Address, Refused, Silent, SourceError, is_public
from server.pull.source import Source
from tests.client.clips import write_clip
from tests.server.pull.servers import Web, body, redirect, web

PRIVATE = "127.0.0.2"
SECRET = "hunter2"
OK = "RTSP/1.0 200 OK\r\nCSeq: {seq}\r\n"


@pytest.fixture(autouse=True)
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "is_public", lambda text: text == "127.0.0.1")


@pytest.fixture
def private() -> Iterator[Web]:
    """A server that nobody may reach, at the test's end nobody has."""
    with web(body(b"secret"), PRIVATE) as server:
        yield server
        assert server.connections == 0


def pull(name: str) -> Source:
    """As an input that was added over HTTP."""
    return Source(name, False, allow_private=False, allow_local=False)


@contextlib.contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on 127.0.0.1 that handles each connection by `talk`; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link, contextlib.suppress(OSError):
                talk(link)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize("name", [
    "file:///etc/passwd", "/etc/passwd", "0", "concat:a.ts|b.ts", "concat:http://127.0.0.1/a|file:/etc/passwd",
    "subfile,,start,0,end,9,,:/etc/passwd", "pipe:0", "data:video/mp4;base64,AAAA", "udp://127.0.0.1:1", "tcp://127.0.0.1:1",
    "ftp://127.0.0.1/a", "hls+http://127.0.0.1/a.m3u8", "crypto:http://127.0.0.1/a", "async:http://127.0.0.1/a", "",
    "rtmp://127.0.0.1/app swfVfy=http://127.0.0.2/", "rtsp://127.0.0.1/a\r\nX: y", "http://127.0.0.1/a|b", "http://", "http:///a",
    "http://127.0.0.1:0/a", "http://127.0.0.1:99999/a", "http://[::1/a", "http://127.0.0.1\\@127.0.0.2/", "rtsp://" + "a" * 3000,
])  # fmt: skip
def test_only_addresses_of_six_schemes_are_read(name: str) -> None:
    with pytest.raises(Refused) as caught:
        pull(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtsps", "rtmp", "rtmps"])
def test_a_private_address_is_refused_before_a_packet_is_sent(private: Web, scheme: str) -> None:
    with pytest.raises(Refused, match="not public"):
        pull(f"{scheme}://admin:{SECRET}@{PRIVATE}:{private.server_port}/a")


def test_a_redirection_over_http_is_not_followed(private: Web) -> None:
    with web(redirect(f"{private.url}/a.ts")) as server:
        with pytest.raises(Refused, match="redirects"):
            pull(f"{server.url}/a.ts")
        assert server.asked == ["/a.ts"]


@pytest.mark.parametrize("line", [
    "RTSP/1.0 302 Found", "RTSP/1.0\t301 Moved", "RTSP/1.0 0302 x", "RTSP/1.0 4294967598 x", "R\rTSP/1.0 3\r02 Found", "RTSP/2.0 305",
    " RTSP/1.0 302", "RTSP/ 302",
])  # fmt: skip
@pytest.mark.parametrize("piece", [1, 1000])
def test_a_redirection_over_rtsp_is_not_followed(private: Web, line: str, piece: int) -> None:
    asked = []

    def talk(link: socket.socket) -> None:
        asked.append(link.recv(4096))
        answer = f"{line}\r\nCSeq: 1\r\nLocation: rtsp://{PRIVATE}:{private.server_port}/a\r\n\r\n".encode()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(answer), piece):
            link.sendall(answer[at : at + piece])
            time.sleep(0.001)
        link.recv(4096)

    with talking(talk) as port:
        with pytest.raises(Refused, match="redirects"):
            pull(f"rtsp://127.0.0.1:{port}/a")
    assert asked[0].startswith(b"OPTIONS rtsp://127.0.0.1")


@pytest.mark.parametrize("text", [
    "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n", "\n\n#EXTM3U\n{url}/a.ts\n",
    "ffconcat version 1.0\nfile '{url}/a.ts'\n",
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{url}/</BaseURL></Period></MPD>',
    "[playlist]\nFile1={url}/a.ts\n",
    "v=0\r\no=- 0 0 IN IP4 127.0.0.2\r\nc=IN IP4 127.0.0.2\r\nm=video 5000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    '<SmoothStreamingMedia MajorVersion="2"/>', "{url}/a.ts\n",
])  # fmt: skip
def test_lists_of_other_addresses_are_not_read(private: Web, text: str) -> None:
    with web(body(text.format(url=private.url).encode())) as server:
        with pytest.raises(SourceError) as caught:
            pull(f"{server.url}/a.m3u8")
    assert isinstance(caught.value, Refused) == (not text.startswith(("{url}", "<Smooth")))


def test_a_name_is_resolved_once_and_connected_to_as_it_was(
    monkeypatch: pytest.MonkeyPatch, private: Web, tmp_path: Path
) -> None:
    answers: list[str] = []

    def rebinding(host: str, port: int, **kwargs: Any) -> Any:
        answers.append("127.0.0.1" if not answers else PRIVATE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]

    with web(body(write_clip(tmp_path / "a.ts", frames=5).read_bytes())) as server:
        monkeypatch.setattr(address.socket, "getaddrinfo", rebinding)
        monkeypatch.setattr(address.socket, "create_connection", _create_connection)
        source = pull(f"http://camera.example:{server.server_port}/a.ts")
        source.close()
    assert answers == ["127.0.0.1"]
    assert server.asked == ["/a.ts"]


def _create_connection(place: tuple[str, int], timeout: float) -> socket.socket:
    """As in the library, for addresses alone: it must not ask the name server again."""
    link = socket.socket()
    link.settimeout(timeout)
    link.connect((socket.inet_ntoa(socket.inet_aton(place[0])), place[1]))
    return link


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch, private: Web) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, private.server_port)) for ip in ("127.0.0.1", PRIVATE)]
    monkeypatch.setattr(address.socket, "getaddrinfo", lambda *args, **kwargs: both)
    with pytest.raises(Refused, match=PRIVATE):
        pull("rtsp://camera.example/a")


@pytest.mark.parametrize("protocol", ["http", "rtsp", "rtmp"])
def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    for module in (address, opening):
        monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    released = threading.Event()
    with talking(lambda link: bool(released.wait(10)) and None) as port:
        began_s = time.monotonic()
        with pytest.raises(Silent):
            pull(f"{protocol}://127.0.0.1:{port}/app/a")
        assert time.monotonic() - began_s < 5
        released.set()


@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp", "rtsps"])
def test_no_complaint_holds_the_credentials(scheme: str) -> None:
    with talking(lambda link: link.sendall(b"nonsense\r\n\r\n")) as port:
        for host in (f"127.0.0.1:{port}", "no-such-host.invalid", PRIVATE):
            with pytest.raises(SourceError) as caught:
                pull(f"{scheme}://admin:{SECRET}@{host}/{SECRET}?key={SECRET}")
            assert SECRET not in str(caught.value)


def test_credentials_reach_the_server() -> None:
    asked = []

    def answer(handler: Any) -> None:
        asked.append(handler.headers["Authorization"])
        handler.send_error(401)

    with web(answer) as server:
        with pytest.raises(SourceError, match="401"):
            pull(f"http://admin:p%40ss@127.0.0.1:{server.server_port}/a")
    assert asked == ["Basic YWRtaW46cEBzcw=="]


def test_a_certificate_of_nobody_is_refused() -> None:
    with talking(lambda link: link.sendall(b"\x15\x03\x01\x00\x02\x02\x28")) as port:
        with pytest.raises(SourceError, match="cannot be reached"):
            pull(f"https://127.0.0.1:{port}/a")


PUBLIC = "8.8.8.8 2606:4700::1111 64:ff9b::808:808 2002:808:808::1 ::ffff:8.8.8.8"
NOT_PUBLIC = """
    127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 198.18.0.1
    192.0.2.1 240.0.0.1 ::1 :: fe80::1%eth0 fd00::1 fec0::1 ff02::1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1
    64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1::1 2001:db8::1 2001:0:0:0:0:0:80ff:fffe
"""


@pytest.mark.parametrize("text", PUBLIC.split())
def test_these_addresses_are_public(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize("text", NOT_PUBLIC.split())
def test_these_addresses_are_not(text: str) -> None:
    assert not is_public(text)


def test_an_address_as_text_is_its_place_alone() -> None:
    parsed = Address.parse(f"rtsps://admin:{SECRET}@[2606:4700::1]/{SECRET}?k={SECRET}")
    assert str(parsed) == "rtsps://[2606:4700::1]:322"
