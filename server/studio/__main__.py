"""`python -m server.studio --fd N`: the studio's process, on the socket it inherits as descriptor N."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import socket
import sys
import threading
from functools import partial
from types import FrameType
from typing import Any, Final, NoReturn

import cv2

from engines.detect.detector import Detector
from engines.detect.networks import open_networks
from engines.models.networks import Networks
from engines.runtimes import GPU_KINDS
from server import logs
from server.studio.calibrate import known_or_measured
from server.studio.canary import finds_known_face
from server.studio.plans import Plans, models_of
from server.studio.studio import Studio

logger = logging.getLogger("server.studio")

SWITCH_INTERVAL_S: Final = 0.001
"""How long a thread may keep the others from running Python: the usual 5 ms are a sixth of a frame."""
MEMORY_LIMIT_BYTES: Final = 8 << 30
"""Of address space. Threads, codecs and the network's code take some 2 GiB of it; a picture that asks for 9 GB gets none."""
EXIT_FATAL: Final = 70
DETECTOR_SETTINGS: Final = ("runtime", "threads")


def make_detector(settings: dict[str, Any], plans: Plans) -> Detector:
    """The detector that the HELLO asks for; what it does not mention stays at the default. Where a plan is still to be built, of
    another runtime."""
    wishes = {name: settings[name] for name in DETECTOR_SETTINGS if name in settings}
    networks = Networks.from_json(settings.get("networks", ()))
    if wishes.get("runtime") in GPU_KINDS:
        # CUDA maps the memory of all devices into the address space: no limit of that leaves it room.
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if wishes.get("runtime") == "tensorrt":
        wishes["runtime"] = plans.runtime(models_of(networks))
    return open_networks(networks, **wishes)


def die(reason: str) -> NoReturn:
    """End at once, whatever other threads are doing: the supervisor starts a new studio."""
    logger.critical("the studio ends: %s", reason)
    os._exit(EXIT_FATAL)


def die_with_thread(failure: threading.ExceptHookArgs) -> None:
    """A thread that ended by an error leaves the others waiting for it."""
    logger.critical("thread %s failed", failure.thread, exc_info=failure.exc_value)
    die("one of its threads has ended")


def terminate(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m server.studio", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the socket to the door")
    parser.add_argument("--log-json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    logs.set_up("studio", as_json=options.log_json)
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the door says when to stop
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    threading.excepthook = die_with_thread
    cv2.setNumThreads(1)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    link = socket.socket(fileno=options.fd)
    link.setblocking(True)
    status = 0
    try:
        plans = Plans()
        wanted = partial(make_detector, plans=plans)
        Studio(link, wanted, finds_known_face, die, known_or_measured, plans.built).run()
    except SystemExit:
        pass
    except Exception:
        logger.exception("the studio failed")
        status = 1
    logging.shutdown()
    os._exit(status)  # threads that hang in a library must not keep the process alive


if __name__ == "__main__":
    main()
