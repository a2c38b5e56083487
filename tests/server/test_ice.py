"""STUN and TURN servers in Link headers, there and back."""

from __future__ import annotations

import pytest

from server.ice import IceServer

STUN = IceServer.parse("stun:stun.example.net:3478")
TURN = IceServer.parse("turn:venue:a%22b%5Cc,d;e=f@turn.example.net:443?transport=tcp")


def test_a_link_is_as_rfc_9725_has_it() -> None:
    assert STUN.link() == '<stun:stun.example.net:3478>; rel="ice-server"'
    plain = IceServer.parse("turn:user:secret@turn.example.net?transport=udp")
    assert plain.link() == (
        '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="secret"; '
        'credential-type="password"'
    )


@pytest.mark.parametrize("joined", [False, True])
def test_links_are_read_as_they_were_written(joined: bool) -> None:
    links = [STUN.link(), '</docs>; rel="help", </>; rel=next', TURN.link()]
    assert TURN.credential == 'a"b\\c,d;e=f'
    assert IceServer.from_links([", ".join(links)] if joined else links) == [STUN, TURN]


def test_others_ways_of_writing_links() -> None:
    (server,) = IceServer.from_links(["<turn:a.example>;username=u ;credential=c; REL=ice-server"])
    assert server == IceServer("turn:a.example", "u", "c")
    assert IceServer.from_links(["", "<", "<a>; rel", 'x; rel="ice-server"']) == []


def test_what_would_break_a_header_is_no_password() -> None:
    with pytest.raises(ValueError, match="printable"):
        IceServer.parse("turn:user:a%0D%0AX-Header:%20b@turn.example.net".replace(":%20", "%3A%20"))
