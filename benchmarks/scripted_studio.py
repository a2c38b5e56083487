"""A studio's process with the real one's code, but for the detector: it knows the faces of numbered frames, and has the fault
that a file names when there is one.

`python -m benchmarks.scripted_studio FACES FAULT --fd N`: FACES is JSON, boxes xyxy px by the frame's number.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from benchmarks.rig import Clip, Door
from engines.frame import Detections, Frame
from engines.scene.marker import read_marker
from server.link import Kind
from server.studio.__main__ import die, die_with_thread
from server.studio.studio import Studio


class ScriptedDetector:
    names = ("face",)
    batches = (1,)

    def __init__(self, faces: Path, fault: Path) -> None:
        boxes = json.loads(faces.read_text())
        self._faces = {int(number): np.array(known, np.float32).reshape(-1, 4) for number, known in boxes.items()}
        self._fault = fault

    def warm_up(self, width: int, height: int) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"runtime": "none", "model": "known boxes"}

    def detect(self, frames: list[Frame]) -> list[Detections]:
        fault = self._fault.read_text() if self._fault.exists() else "none"
        if fault == "raises":
            raise RuntimeError("a fault that was asked for")
        if fault == "hangs":
            self._fault.unlink()  # once
            time.sleep(5)
        elif fault == "late":
            time.sleep(0.5)
        elif fault == "twice the load":
            time.sleep(2 / 30)
        return [self._one(frame, blind=fault == "finds nothing") for frame in frames]

    def _one(self, frame: Frame, blind: bool) -> Detections:
        number = read_marker(frame.y)
        if number not in self._faces:
            raise RuntimeError("a frame of nobody knows what")
        boxes = self._faces[number][: 0 if blind else None]
        n = len(boxes)
        return Detections(
            boxes, np.full(n, 0.9, np.float32), np.zeros(n, np.int32), np.full((n, 5, 2), np.nan, np.float32),
            frame.rtp_time, frame.width, frame.height, True,
        )  # fmt: skip


class Studios:
    """Studios as processes: one that serves, and a spare. As a context manager, ends them."""

    def __init__(self, clip: Clip) -> None:
        self.doors: list[Door] = []
        """Of all that ever served."""
        self.lost = 0
        self._folder = TemporaryDirectory()
        self._faces = Path(self._folder.name, "faces.json")
        self._faces.write_text(json.dumps({n: boxes.tolist() for n, boxes in enumerate(clip.faces)}))
        self._children: list[subprocess.Popen[bytes]] = []
        self._spare = self._start()

    def serve(self) -> Door:
        """Let the spare serve, once it is ready, and start another one."""
        door, self._spare = self._spare, self._start()
        door.wait(Kind.READY)
        self.doors.append(door)
        return door

    def lose(self, how: signal.Signals) -> Door:
        """Send the one that serves a signal, and let the spare take its place."""
        self._children[-2].send_signal(how)
        self.lost += 1
        return self.serve()

    def _start(self) -> Door:
        ours, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, "-m", "benchmarks.scripted_studio", str(self._faces), f"{self._faces}.fault"]
            child = subprocess.Popen([*words, "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()])
        self._children.append(child)
        door = Door(ours)
        door.hello()
        return door

    def __enter__(self) -> Studios:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
            child.wait()
        for door in (*self.doors, self._spare):
            door.link.close()
        self._folder.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("faces", type=Path)
    parser.add_argument("fault", type=Path)
    parser.add_argument("--fd", type=int, required=True)
    given = parser.parse_args()
    threading.excepthook = die_with_thread
    link = socket.socket(fileno=given.fd)
    link.setblocking(True)
    Studio(link, lambda settings: cast(Any, ScriptedDetector(given.faces, given.fault)), lambda _: True, die).run()
    os._exit(0)
