"""Nothing that runs a network talks to the network."""

import subprocess
import sys

WATCHED = """
import socket, sys, time

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print(event, arguments)

sys.addaudithook(watch)
from engines.detect.detector import open_detector
for kind in ("openvino", "onnxruntime"):
    open_detector(runtime=kind).warm_up(320, 192)
time.sleep(1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proof:
    proof.sendto(b"", ("127.0.0.1", 9))
"""


def test_no_runtime_talks_to_the_network() -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True, timeout=100)
    # The one line left is the watch's own proof that it sees such calls.
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["socket.sendto"]
