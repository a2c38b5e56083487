from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.link import HEADER, MAX_BODY_BYTES, VERSION, Flag, Kind, Message, Parser, ProtocolError, json_body

messages = st.builds(
    Message,
    kind=st.sampled_from(Kind),
    ident=st.integers(0, 2**32 - 1),
    body=st.binary(max_size=300),
    flags=st.integers(0, 15).map(Flag),
    epoch=st.integers(0, 2**32 - 1),
    rtp_time=st.integers(-(2**63), 2**63 - 1),
    arrival_ns=st.integers(0, 2**63 - 1),
)


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 80), min_size=1))
def test_messages_survive_however_the_bytes_are_cut(sent: list[Message], cuts: list[int]) -> None:
    wire = b"".join(message.pack() for message in sent)
    parser, received, start = Parser(), [], 0
    for turn in range(len(wire)):
        piece = wire[start : start + cuts[turn % len(cuts)]]
        start += len(piece)
        received += parser.feed(piece)
        if start == len(wire):
            break
    assert received == sent


def test_json_goes_both_ways() -> None:
    assert Message(Kind.META, body=json_body({"t": 1, "l": {"décodé": 0.5}})).json() == {"t": 1, "l": {"décodé": 0.5}}


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (HEADER.pack(0, VERSION + 1, Kind.PING, 0, 0, 0, 0, 0), "version"),
        (HEADER.pack(MAX_BODY_BYTES + 1, VERSION, Kind.PING, 0, 0, 0, 0, 0), "body"),
        (HEADER.pack(0, VERSION, 255, 0, 0, 0, 0, 0), "unknown"),
    ],
)
def test_nonsense_is_refused_before_its_body_is_waited_for(header: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        list(Parser().feed(header))


def test_a_body_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="ACCESS_UNIT"):
        Message(Kind.ACCESS_UNIT, body=bytes(MAX_BODY_BYTES + 1)).pack()
