from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.ice import IceServer
from server.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flag_goes_before_the_environment_and_that_before_the_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "fancam.toml").write_text(
        'port = 1001\nmax_feeds = 11\nmax_viewers = 21\nallow_host = ["a.example"]\n'
    )
    monkeypatch.setenv("FANCAM_PORT", "1002")
    monkeypatch.setenv("FANCAM_MAX_FEEDS", "12")
    settings = load_settings(port=1003, max_feeds=None, token=())
    assert (settings.port, settings.max_feeds, settings.max_viewers) == (1003, 12, 21)
    assert settings.allow_host == ("a.example",)


def test_lists_in_the_environment_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANCAM_ALLOW_HOST", "a.example, b.example")
    monkeypatch.setenv("FANCAM_TOKEN", "one publish,view-raw:two")
    settings = load_settings()
    assert settings.allow_host == ("a.example", "b.example")
    assert settings.token == ("one", "publish,view-raw:two")


@pytest.mark.parametrize(
    ("text", "names"), [("porto = 1\n", "porto"), ("port = 70000\n", "port"), ("port = \n", "fancam.toml")]
)
def test_a_wrong_file_is_one_line_that_names_what_is_wrong(elsewhere: Path, text: str, names: str) -> None:
    (elsewhere / "fancam.toml").write_text(text)
    with pytest.raises(SettingsError, match=names) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [("FANCAM_PROT", "1", "FANCAM_PROT: no such setting; did you mean FANCAM_PORT?"),
     ("fancam_tokens", "s3cret", "did you mean FANCAM_TOKEN"),
     ("FANCAM_XYZZY", "1", "--help"),
     ("FANCAM_MAX_FEEDS", "0", "FANCAM_MAX_FEEDS: "),
     ("fancam_keep_audio", "perhaps", "fancam_keep_audio: ")],
)  # fmt: skip
def test_a_wrong_variable_is_one_line_that_names_it(
    variable: str, value: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert text in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_unknown_key_names_the_nearest_one(elsewhere: Path) -> None:
    (elsewhere / "fancam.toml").write_text("max_feed = 3\n")
    with pytest.raises(SettingsError, match=r"fancam\.toml: max_feed: no such setting; did you mean max_feeds\?"):
        load_settings()


def test_an_empty_variable_takes_back_what_the_file_sets(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (elsewhere / "fancam.toml").write_text('advertise = "203.0.113.7"\nudp_ports = "50000-50009"\n')
    monkeypatch.setenv("FANCAM_ADVERTISE", "")
    settings = load_settings()
    assert (settings.advertise, settings.udp_port_range) == (None, range(50000, 50010))


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"input": ("lobby",)}, "--input: an input is NAME=SOURCE"),
        ({"input": ("lobby=",)}, "--input: an input is NAME=SOURCE"),
        ({"input": ("Lobby=a.mp4",)}, "'Lobby' is no name"),
        ({"input": ("-x=a.mp4",)}, "'-x' is no name"),
        ({"input": ("x" * 65 + "=a.mp4",)}, "is no name"),
        ({"input": ("a\n=a.mp4",)}, "is no name"),
        ({"input": ("a=1.mp4", "a=2.mp4")}, "two inputs are called 'a'"),
        ({"udp_ports": "50000"}, "--udp-ports: a range of ports is A-B"),
        ({"udp_ports": "50000-50008"}, "at least 10 ports"),
        ({"udp_ports": "50100-50000"}, "at least 10 ports"),
        ({"udp_ports": "1000-1100"}, "within 1024-65535"),
        ({"udp_ports": "65500-65536"}, "within 1024-65535"),
        ({"advertise": "camera.example"}, "--advertise: an IP address is needed"),
        ({"advertise": "0.0.0.0"}, "clients cannot send to 0.0.0.0"),
        ({"advertise": "ff02::1"}, "clients cannot send to ff02::1"),
        ({"tls_cert": "gone.pem", "tls_key": "gone.pem"}, "--tls-cert: no file gone.pem"),
        ({"tls_cert": "here.pem"}, "tls_cert and tls_key go together"),
        ({"tls_key": "here.pem"}, "tls_cert and tls_key go together"),
        ({"ice_server": ("stun.example",)}, "--ice-server: an ICE server is stun:HOST"),
        ({"ice_server": ("stun:u:s3cret@h",)}, "a STUN server has neither user nor transport"),
        ({"ice_server": ("stun:h?transport=udp",)}, "a STUN server has neither"),
        ({"ice_server": ("turn:h",)}, "a TURN server needs user and password"),
        ({"ice_server": ("turn:u@h",)}, "an ICE server is"),
        ({"ice_server": ("turn:u:s3cret@h?transport=sctp",)}, "an ICE server is"),
        ({"ice_server": ("turn:u:s3cret@h:65536",)}, "an ICE server is"),
        ({"ice_server": ("turn:u:s3cret@[::1",)}, "an ICE server is"),
    ],
)
def test_a_value_that_cannot_be_is_one_line_that_says_where_and_what(
    elsewhere: Path, flags: dict[str, Any], text: str
) -> None:
    (elsewhere / "here.pem").touch()
    with pytest.raises(SettingsError) as caught:
        load_settings(**flags)
    message = str(caught.value)
    assert text in message
    assert len(message.splitlines()) == 1
    assert "s3cret" not in message


def test_inputs_tls_and_ice_servers_as_they_should_be(elsewhere: Path) -> None:
    (elsewhere / "here.pem").touch()
    servers = ("stun:stun.example:3478", "turns:user:p%40ss@[2001:db8::1]:5349?transport=tcp")
    settings = load_settings(
        input=("lobby=rtsp://u:p@camera/1?a=b", "x_2-=0"), tls_cert="here.pem", tls_key="here.pem",
        advertise="2001:DB8::7", ice_server=servers,
    )  # fmt: skip
    assert settings.advertise == "2001:db8::7"
    assert settings.ice_server == servers
    assert settings.ice_servers == [
        IceServer("stun:stun.example:3478"),
        IceServer("turns:[2001:db8::1]:5349?transport=tcp", "user", "p@ss"),
    ]


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = load_settings(token=("s3cret",), input=("a=rtsp://u:s3cret@h/",), ice_server=("turn:u:s3cret@h",))
    assert "s3cret" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.7", False), ("example.org", False)],
)  # fmt: skip
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert load_settings(host=host).is_loopback is loopback


def test_zones_hold_for_a_name_from_the_first_frame_on(tmp_path: Path) -> None:
    file = tmp_path / "lobby.json"
    file.write_text("[[[0, 0], [1, 0], [1, 1]]]")
    settings = load_settings(zones=(f"lobby={file}",))
    file.write_text("[]")  # too late: what was read at the start holds
    assert settings.policies == {"lobby": {"zones": (((0, 0), (1, 0), (1, 1)),)}}


@pytest.mark.parametrize("text", ["[[[0, 0], [1, 0]]]", "{", None])
def test_a_file_without_zones_is_refused_at_the_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "lobby.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=r"--zones: .*lobby\.json: [^\n]+$"):
        load_settings(zones=(f"lobby={file}",))


def test_a_file_says_how_a_stream_is_redacted_from_the_first_frame_on(tmp_path: Path) -> None:
    file, zones = tmp_path / "lobby.json", tmp_path / "zones.json"
    file.write_text('{"cover": {"except": ["ada"]}, "style": "mosaic"}')
    zones.write_text("[[[0, 0], [1, 0], [1, 1]]]")
    settings = load_settings(redaction=(f"lobby={file}",), zones=(f"lobby={zones}",))
    assert settings.policies == {
        "lobby": {"cover": {"except": ["ada"]}, "style": "mosaic", "zones": (((0, 0), (1, 0), (1, 1)),)}
    }


@pytest.mark.parametrize("text", ["{", "[]", '{"covers": "everyone"}', '{"cover": "nobody"}', '{"style": "none"}'])
def test_a_file_that_is_no_policy_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "lobby.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"^--redaction: .*lobby\.json: [^\n]+$"):
        load_settings(redaction=(f"lobby={file}",))
