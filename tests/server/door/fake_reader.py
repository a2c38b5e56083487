"""A reader of an input that sends two units and a sound, always with the same times, and dies."""

import socket
import sys

from server.link import Flag, Kind, Message, json_body

link = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
for message in (
    Message(Kind.READY, 0, json_body({"codec": "h264"})),
    Message(Kind.ACCESS_UNIT, 0, b"one", Flag.KEY, rtp_time=90_000),
    Message(Kind.AUDIO, 0, b"sound", rtp_time=48_000),
    Message(Kind.ACCESS_UNIT, 0, b"two", rtp_time=180_000),
):
    link.sendall(message.pack())
