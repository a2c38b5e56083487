"""`python -m server.pull --fd N`: reads one input, for the door at the other end of the socket it inherits as descriptor N."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Final

from engines.frame import RTP_CLOCK_HZ
from server.link import NO_FLAGS, OPUS_CLOCK_HZ, Flag, Kind, Message, Parser
from server.pull.address import Refused, Silent, SourceError
from server.pull.source import Source
from server.studio.outbox import Outbox

MEMORY_LIMIT_BYTES: Final = 4 << 30
"""Of address space, which a stranger's video cannot make more of."""


class Reader:
    """One source and the way to the door. RTP times go by the machine's clock, and so on where an earlier reader ended."""

    def __init__(self, link: socket.socket) -> None:
        self._messages = self._receive(link)
        self._outbox = Outbox(link, on_dead=lambda reason: os._exit(1))
        self._source: Source | None = None

    def run(self) -> None:
        """Until the source ends or fails, of which the door is told."""
        hello = next(self._messages)
        self._outbox.epoch = hello.epoch
        wishes: dict[str, Any] = hello.json()
        threading.Thread(target=self._listen, name="door", daemon=True).start()
        try:
            self._source = Source(wishes.pop("source"), wishes.pop("loop"), **wishes)
            self._send(self._source)
            self._fail("ended", "the source ended")
        except SourceError as error:
            why = "refused" if isinstance(error, Refused) else "silent" if isinstance(error, Silent) else "failed"
            self._fail(why, str(error))
        except Exception as error:  # noqa: BLE001 (its text may hold the address, with passwords)
            place = traceback.extract_tb(error.__traceback__)[-1]
            self._fail("failed", f"{type(error).__name__} in {place.name}, line {place.lineno}")

    def _send(self, source: Source) -> None:
        begin_s = time.monotonic()
        ready = False

        def on_video(data: bytes, rtp_time: int, key: bool, arrival_ns: int) -> None:
            nonlocal ready
            if not ready:
                ready = True
                self._outbox.send_json(Kind.READY, 0, {"codec": source.codec})
            placed = round(begin_s * RTP_CLOCK_HZ) + rtp_time
            self._outbox.send(Kind.ACCESS_UNIT, 0, data, Flag.KEY if key else NO_FLAGS, placed, arrival_ns)

        def on_audio(payload: bytes, rtp_time: int) -> None:
            self._outbox.send(Kind.AUDIO, 0, payload, rtp_time=round(begin_s * OPUS_CLOCK_HZ) + rtp_time)

        source.run(on_video, on_audio)

    def _fail(self, why: str, reason: str) -> None:
        self._outbox.send_json(Kind.FAILED, 0, {"why": why, "reason": reason})

    def _listen(self) -> None:
        for message in self._messages:
            if message.kind is Kind.NEED_KEY and self._source is not None:
                self._source.want_key()
        os._exit(0)  # the door is gone; FFmpeg may hang where nothing else ends it

    @staticmethod
    def _receive(link: socket.socket) -> Iterator[Message]:
        parser = Parser()
        while data := link.recv(1 << 16):
            yield from parser.feed(data)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m server.pull", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the socket to the door")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the door says when to stop
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    Reader(socket.socket(fileno=options.fd)).run()
    os._exit(0)  # threads of tunnels and codecs are not waited for


if __name__ == "__main__":
    main()
