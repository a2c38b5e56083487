"""A studio without pixels: it speaks the link's messages and answers every access unit with a picture drawn beforehand.

Pictures are white, slates black; every one is a key frame. Track 7 is there from the first unit on. Arguments after `--fd N`:
`--crash` ends it before it is ready, `--deaf` lets it read nothing once it is ready, `--meanwhile` makes it serve with another runtime
than the one asked for until SIGUSR1.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from typing import Any

import av
import numpy as np

from server.link import Flag, Kind, Message, Parser, Slate, json_body

SIZE = (320, 240)
ENCODERS = {"h264": ("libx264", {"tune": "zerolatency"}), "vp8": ("libvpx", {"deadline": "realtime"})}


def key_frame(codec: str, luma: int) -> bytes:
    """One encoded picture of one shade."""
    name, options = ENCODERS[codec]
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.options = *SIZE, "yuv420p", options
    encoder.framerate = 30
    picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
    picture[: SIZE[1]] = luma
    packets = [*encoder.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")), *encoder.encode(None)]
    return bytes(packets[0])


class FakeStudio:
    def __init__(self, link: socket.socket, deaf: bool, meanwhile: bool) -> None:
        self.link, self.deaf, self.meanwhile = link, deaf, meanwhile
        self.epoch = 0
        self.members: list[str] = []
        self.pictures = {codec: key_frame(codec, 235) for codec in ENCODERS}
        self.slates = {codec: key_frame(codec, 16) for codec in ENCODERS}
        self.feeds: dict[int, tuple[int, str, str]] = {}
        self.told: set[int] = set()

    def send(
        self, kind: Kind, ident: int = 0, body: bytes = b"", flags: Flag = Flag(0), like: Message | None = None
    ) -> None:
        times = (like.rtp_time, like.arrival_ns) if like else (0, 0)
        self.link.sendall(Message(kind, ident, body, flags, self.epoch, *times).pack())

    def run(self) -> None:
        parser = Parser()
        while data := self.link.recv(1 << 18):
            for message in parser.feed(data):
                if message.kind is Kind.STOP:
                    return
                self.handle(message)

    def handle(self, message: Message) -> None:
        if message.kind is Kind.HELLO:
            self.epoch, self.members = message.epoch, message.json().get("members", [])
            for slate in Slate:
                self.send(Kind.SLATE, slate, self.slates["h264"], Flag.KEY | Flag.H264)
                self.send(Kind.SLATE, slate, self.slates["vp8"], Flag.KEY | Flag.VP8)
            self.ready({"asked": "tensorrt"} if self.meanwhile else {})
            signal.signal(signal.SIGUSR1, lambda *_: self.ready({}))
            while self.deaf:
                time.sleep(1)
        elif message.kind is Kind.PING:
            self.send(Kind.PONG)
        elif message.kind is Kind.FEED_OPEN:
            wish = message.json()
            self.feeds[message.ident] = (wish["stream"], wish["feed"], wish["codec"])
        elif message.kind is Kind.FEED_CLOSE:
            self.feeds.pop(message.ident, None)
        elif message.kind is Kind.ACCESS_UNIT:
            self.answer(message)

    def ready(self, more: dict[str, str]) -> None:
        self.send(Kind.READY, 0, json_body({"pid": os.getpid(), "runtime": "none", "model": "none", **more}))

    def answer(self, unit: Message) -> None:
        stream = unit.ident
        if stream not in self.told:
            self.told.add(stream)
            listed: dict[str, Any] = {"width": 320, "height": 240, "tracks": [{"id": 7, "seconds": 1.5}]}
            if self.members:  # the first of them is seen
                listed["tracks"][0] |= {"member": 0, "state": "unsure"}
                listed["members"] = ["unsure", *["lost"] * (len(self.members) - 1)]
            self.send(Kind.TRACKS, stream, json_body(listed))
        for ident, (of_stream, _, codec) in self.feeds.items():
            if of_stream == stream:
                self.send(Kind.ENCODED, ident, self.pictures[codec], Flag.KEY, unit)
        box = [7, 10, 20, 30, 50, 92, 1]
        stages = {"decoded": 0.4, "detected": 5.0, "tracked": 0.1, "rendered": 0.2, "encoded": 1.0, "sent": 0.1}
        secret = {"names": ["Ada"], "landmarks": [[1, 2]]}
        meta = {"t": unit.rtp_time, "w": 320, "h": 240, "b": [box], "l": stages, **secret}
        self.send(Kind.META, stream, json_body(meta), like=unit)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--crash", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    parser.add_argument("--meanwhile", action="store_true")
    options = parser.parse_args()
    if options.crash:
        sys.exit(3)
    FakeStudio(socket.socket(fileno=options.fd), options.deaf, options.meanwhile).run()


if __name__ == "__main__":
    main()
