"""The messages between the door and its children, the studio and the readers of inputs, over Unix stream socket pairs.

Each message is a header and a body. The header holds the length of the body, the protocol's version, the kind, flags, the
session's epoch (messages of an epoch that is over are ignored), an ident (of a stream or of a feed, by kind), the frame's RTP
time (90 kHz, unwrapped) and its arrival (ns, monotonic clock, which all processes of one machine share).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final

VERSION: Final = 1
HEADER: Final = struct.Struct("<IBBHIIqq")
MAX_BODY_BYTES: Final = 8 << 20
OPUS_CLOCK_HZ: Final = 48_000
"""Of RTP times, whatever the sound's own rate is (RFC 7587 §4.1)."""


class Kind(IntEnum):
    """What a message is; the comment says ident, then body."""

    # door → studio
    HELLO = 1  # 0, JSON settings of this epoch: first message
    STREAM_OPEN = 2  # stream, JSON {"name", "codec": "h264" | "vp8", "policy": {...}}
    STREAM_CLOSE = 3  # stream
    ACCESS_UNIT = 4  # stream, encoded frame (Annex B or VP8); flags KEY
    GAP = 5  # stream: frames were lost, the next one to decode is a key frame
    FEED_OPEN = 6  # feed, JSON {"stream": id, "feed": "redacted" | "overlay" | "raw" | "fancam/7", "codec", "bit_rate"}
    FEED_CLOSE = 7  # feed
    FEED_KEY = 8  # feed: the next frame shall be a key frame
    FEED_RATE = 9  # feed, JSON {"bit_rate"}, null for no limit
    POLICY = 10  # stream, JSON {"style", "panic", ...}
    PING = 11  # 0
    STOP = 12  # 0: finish and exit
    # studio → door
    READY = 32  # 0, JSON {"pid", "runtime", "model", ...}: warm, first message
    SLATE = 33  # a `Slate`, its key frame; flags H264 or VP8: for the door to show by itself
    ENCODED = 34  # feed, encoded frame; flags KEY, IS_SLATE
    META = 35  # stream, JSON of one frame
    TRACKS = 36  # stream, JSON {"width", "height", "tracks": [...], "members": [state, ...]}: whenever it changes
    NEED_KEY = 37  # stream: the studio cannot decode until the publisher sends a key frame
    STATS = 38  # 0, JSON, once a second
    PONG = 39  # 0
    FEED_GONE = 40  # feed, JSON {"reason"}: nothing more will come of it
    # door → reader of an input: HELLO with {"source", "loop", "allow_private", "allow_local"}, NEED_KEY
    # reader → door: READY with {"codec"} before the first ACCESS_UNIT, and these
    AUDIO = 64  # 0, Opus packet; RTP time 48 kHz
    FAILED = 65  # 0, JSON {"why": "refused" | "silent" | "failed" | "ended", "reason"}: last message


class Slate(IntEnum):
    RECONNECTING = 0  # no studio is there
    PANIC = 1


class Flag(IntFlag):
    KEY = 1
    IS_SLATE = 2
    H264 = 4
    VP8 = 8


NO_FLAGS: Final = Flag(0)


class ProtocolError(Exception):
    """The other side speaks another version or sent nonsense."""


@dataclass(frozen=True, slots=True)
class Message:
    kind: Kind
    ident: int = 0
    body: bytes | memoryview = b""
    flags: Flag = NO_FLAGS
    epoch: int = 0
    rtp_time: int = 0
    arrival_ns: int = 0

    def pack(self) -> bytes:
        return header(self) + bytes(self.body)

    def json(self) -> Any:
        return json.loads(bytes(self.body))


def header(message: Message) -> bytes:
    """The packed header alone, for senders that write the body without copying it."""
    if len(message.body) > MAX_BODY_BYTES:
        raise ProtocolError(f"{message.kind.name}: {len(message.body)} bytes, at most {MAX_BODY_BYTES}")
    return HEADER.pack(
        len(message.body),
        VERSION,
        message.kind,
        message.flags,
        message.epoch,
        message.ident,
        message.rtp_time,
        message.arrival_ns,
    )


def json_body(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Parser:
    """Bytes in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that `data` completes.

        Raises:
            ProtocolError: another version, an unknown kind or a body over MAX_BODY_BYTES.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= HEADER.size:
            length, version, kind, flags, epoch, ident, rtp_time, arrival_ns = HEADER.unpack_from(buffer, start)
            if version != VERSION:
                raise ProtocolError(f"version {version}, expected {VERSION}")
            if length > MAX_BODY_BYTES:
                raise ProtocolError(f"a body of {length} bytes, at most {MAX_BODY_BYTES}")
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            try:
                known = Kind(kind)
            except ValueError as error:
                raise ProtocolError(f"unknown message kind {kind}") from error
            yield Message(
                known, ident, bytes(buffer[start + HEADER.size : end]), Flag(flags), epoch, rtp_time, arrival_ns
            )
            start = end
        del buffer[:start]
