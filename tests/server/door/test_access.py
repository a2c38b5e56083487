"""Tokens, scopes, hosts, origins and caps, over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.door.access import ALL_RIGHTS, Access, Right, Token
from server.door.limits import OfferRate
from server.settings import Settings, SettingsError
from tests.server.door.running import Running, wait_until

GOLDEN = Path(__file__).parents[2] / "golden" / "http_routes.json"
SDP = {"Content_Type": "application/sdp"}


def test_the_routes_are_the_known_ones(door: Running) -> None:
    paths = door.ask("GET", "/openapi.json").json()["paths"]
    routes = sorted(f"{method.upper()} {path}" for path, methods in paths.items() for method in methods)
    assert routes == json.loads(GOLDEN.read_text())


def example(route: str) -> tuple[str, str]:
    """A method and a path that the route matches."""
    method, path = route.split(" ")
    return method, path.format(**{"stream": "stage", "feed:path": "redacted", "feed": "redacted", "session": "none"})


PUBLIC = {"GET /healthz", "GET /readyz"}
VIEW_OR_ADMIN = {Right.VIEW_REDACTED, Right.VIEW_FANCAM, Right.VIEW_RAW, Right.ADMIN}
NEEDED: dict[str, set[Right]] = {
    "POST /whip/{stream}": {Right.PUBLISH},
    "POST /{stream}/whip": {Right.PUBLISH},
    "POST /whep/{stream}/{feed}": {Right.VIEW_REDACTED},
    "POST /{stream}/whep": {Right.VIEW_REDACTED},
    "GET /streams": VIEW_OR_ADMIN,
    "GET /events": VIEW_OR_ADMIN,
    "GET /streams/{stream}/latency": VIEW_OR_ADMIN,
    "GET /metrics": VIEW_OR_ADMIN,
    "PATCH /streams/{stream}/latency": {Right.ADMIN},
    "PATCH /streams/{stream}/redaction": {Right.ADMIN},
    "PUT /streams/{stream}/input": {Right.ADMIN},
    "DELETE /streams/{stream}/input": {Right.ADMIN},
    # A session that does not exist says so to whoever holds any token.
    "PATCH /whip/{stream}/{session}": set(Right),
    "DELETE /whip/{stream}/{session}": set(Right),
    "PATCH /whep/session/{session}": set(Right),
    "DELETE /whep/session/{session}": set(Right),
}


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest) -> Any:
    from tests.server.door.running import running_door

    tokens = tuple(f"{right}:secret-of-{right}" for right in Right)
    with running_door(token=tokens) as running:
        yield running


def test_every_route_is_in_the_table_of_scopes() -> None:
    routes = {route for route in json.loads(GOLDEN.read_text()) if not route.startswith("OPTIONS")}
    assert routes == PUBLIC | set(NEEDED)


@pytest.mark.parametrize("route", sorted(NEEDED))
def test_a_route_takes_exactly_the_tokens_with_its_scope(guarded: Running, route: str) -> None:
    method, path = example(route)
    without = status_only(guarded, method, path)
    assert without.status == 401
    assert without.headers["WWW-Authenticate"].startswith("Bearer")
    assert status_only(guarded, method, path, Authorization="Bearer wrong").status == 401
    for right in Right:
        status = status_only(guarded, method, path, Authorization=f"Bearer secret-of-{right}").status
        if right in NEEDED[route]:
            assert status not in (401, 403), right
        else:
            assert status == 403, right


def status_only(running: Running, method: str, path: str, **headers: str) -> Any:
    """The status and headers of an answer that may never end."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
    connection.request(method, path, None, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.close()
    connection.close()
    return response


@pytest.mark.parametrize(
    ("feed", "right"),
    [("redacted", "view-redacted"), ("fancam/7", "view-fancam"), ("raw", "view-raw"), ("overlay", "view-raw")],
)
def test_a_feed_needs_its_own_scope(guarded: Running, feed: str, right: str) -> None:
    for other in ("view-redacted", "view-fancam", "view-raw", "publish", "admin"):
        for path in (f"/whep/stage/{feed}", f"/stage/whep?feed={feed}"):
            answer = guarded.ask("POST", path, "", Authorization=f"Bearer secret-of-{other}", **SDP)
            assert (answer.status == 409) == (other == right), (path, other)
            assert other == right or answer.status == 403


def test_health_needs_no_token_and_says_nothing_secret(guarded: Running) -> None:
    for path in ("/healthz", "/readyz"):
        answer = guarded.ask("GET", path)
        assert answer.status == 200
        assert b"secret" not in answer.body


def test_a_pasted_bearer_is_tolerated(guarded: Running) -> None:
    assert guarded.ask("GET", "/streams", Authorization="Bearer Bearer secret-of-admin").status == 200


def test_hosts_that_are_not_ours_get_421_on_every_route(door: Running) -> None:
    routes = [*json.loads(GOLDEN.read_text()), "GET /", "GET /docs", "GET /static/app.js", "GET /no/such/thing"]
    for host in ("evil.example", "127.0.0.1.evil.example", "192.0.2.1", "", "[", "localhost:x@evil.example"):
        for route in routes:
            assert status_only(door, *example(route), Host=host).status == 421, (host, route)


def test_our_own_names_are_served(start_door: Callable[..., Running]) -> None:
    door = start_door(warm=False, allow_host=("Studio.Example",))
    for host in (
        "localhost",
        f"localhost:{door.port}",
        f"127.0.0.1:{door.port}",
        "studio.example:80",
        "STUDIO.example",
    ):
        assert door.ask("GET", "/healthz", Host=host).status == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_pages_can_change_nothing(door: Running, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/whip/stage"), ("PATCH", "/streams/stage/redaction"), ("DELETE", "/whep/session/x")):
        assert door.ask(method, path, "v=0", **SDP, **headers).status == 403, path
    preflight = door.ask("OPTIONS", "/whip/stage", **headers)
    assert preflight.headers["Access-Control-Allow-Origin"] is None


def test_our_own_page_may_publish(door: Running) -> None:
    own = {"Origin": door.url, "Sec_Fetch_Site": "same-origin"}
    assert door.ask("POST", "/whip/stage", "nonsense", **SDP, **own).status == 400
    preflight = door.ask("OPTIONS", "/whip/stage", **own)
    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == door.url
    assert preflight.headers["Accept-Post"] == "application/sdp"
    assert "Location" in preflight.headers["Access-Control-Expose-Headers"]


def test_every_answer_carries_the_browser_s_orders(door: Running) -> None:
    for path in ("/streams", "/docs", "/no/such/thing"):
        headers = door.ask("GET", path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_docs_need_no_other_host(door: Running) -> None:
    body = door.ask("GET", "/docs").body.decode()
    assert "/whep/{stream}/{feed}" in body
    assert "http://" not in body
    assert "https://" not in body


@pytest.mark.parametrize("name", ["Stage", "-a", "a" * 65, "a.b", "%2e%2e", "a%00", "%E2%80%AEa", "a%0a"])
def test_names_that_are_no_addresses_are_refused(door: Running, name: str) -> None:
    assert door.ask("POST", f"/whip/{name}", "v=0", **SDP).status == 422
    assert door.ask("GET", f"/streams/{name}/latency").status == 422


@pytest.mark.parametrize("feed", ["redacted2", "fancam", "fancam/", "fancam/x", "fancam/1/2", "secret", "RAW"])
def test_feeds_that_cannot_be_are_refused(door: Running, feed: str) -> None:
    assert door.ask("POST", f"/whep/stage/{feed}", "v=0", **SDP).status == 422


def test_bodies_are_capped_by_type_and_size(door: Running) -> None:
    assert door.ask("POST", "/whip/stage", "v=0", Content_Type="text/plain").status == 415
    assert door.ask("POST", "/whip/stage", "v=0").status == 415
    assert door.ask("PATCH", "/streams/stage/redaction", "{}", Content_Type="text/plain").status == 415
    assert door.ask("POST", "/whip/stage", "v" * (64 << 10) + "v", **SDP).status == 413
    assert door.ask("POST", "/whip/stage", b"\xff\xfe", **SDP).status == 400


def test_an_endless_body_is_cut_off(door: Running) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(
            b"POST /whip/stage HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        answer = b""
        try:
            for _ in range(1000):
                connection.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            pass  # the door hung up on us
        try:
            answer = connection.recv(4096)
        except OSError:
            return
        assert answer.startswith(b"HTTP/1.1 413")


def test_a_body_that_dawdles_is_not_waited_for(door: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.door.limits.BODY_TIMEOUT_S", 0.3)
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(
            b"POST /whip/stage HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\n"
            b"Content-Length: 100\r\n\r\nv"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


def test_headers_without_end_are_refused(door: Running) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 4")


def test_others_reach_us_only_with_a_token() -> None:
    with pytest.raises(SettingsError, match="token"):
        Access.from_settings(Settings(host="0.0.0.0"))
    assert Access.from_settings(Settings(host="0.0.0.0", token=("s",))).needs_token


def test_a_token_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who\npublish:one\n\nview-redacted, view-fancam:two\nthree\n")
    access = Access.from_settings(Settings(tokens_file=file))
    rights = [access.caller(f"Bearer {secret}", "") for secret in ("one", "two", "three", "four")]
    assert [who and who.rights for who in rights] == [
        {Right.PUBLISH}, {Right.VIEW_REDACTED, Right.VIEW_FANCAM}, ALL_RIGHTS, None,
    ]  # fmt: skip
    file.write_text("# nobody\n")
    with pytest.raises(SettingsError, match="no token"):
        Access.from_settings(Settings(tokens_file=file))


@pytest.mark.parametrize("text", ["publsh:secret-word", "publish:", "publish:a:secret-word"])
def test_a_mistaken_token_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Token.parse(text)
    assert "secret-word" not in str(caught.value)


def test_five_offers_a_second_an_address() -> None:
    rate = OfferRate()
    assert [rate.allow("a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert rate.allow("b", 0.0)
    assert [rate.allow("a", 0.4) for _ in range(3)] == [True, True, False]
    assert [rate.allow("a", 60.0) for _ in range(6)] == [True] * 5 + [False]


def test_addresses_without_end_do_not_fill_memory() -> None:
    rate = OfferRate()
    for number in range(OfferRate.MAX_ADDRESSES + 50):
        rate.allow(str(number), float(number))
    assert len(rate._buckets) == OfferRate.MAX_ADDRESSES


def test_offers_too_many_are_429(start_door: Callable[..., Running]) -> None:
    door = start_door(warm=False)
    statuses = [door.ask("POST", "/whip/stage", "nonsense", **SDP).status for _ in range(8)]
    assert 429 in statuses
    assert statuses[0] == 400
    wait_until(lambda: door.ask("POST", "/whip/stage", "nonsense", **SDP).status == 400, "the rate to allow again", 3)


def test_headers_over_the_limit_are_431(door: Running) -> None:
    with socket.create_connection(("127.0.0.1", door.port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Long: " + b"a" * (20 << 10))
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.endswith(b"At most 16 KiB of headers.")
