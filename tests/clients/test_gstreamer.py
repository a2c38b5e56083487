"""GStreamer's webrtcbin, in the system's Python, publishes and watches. Its certificates are RSA."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest

from benchmarks.browser import Server
from tests.clients.conftest import TOKEN, need, published, running
from tests.clients.watching import Scene, assert_redacted, lumas, seen
from tests.server.door.running import wait_until

SCRIPT = Path(__file__).with_name("webrtcbin.py")
SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = ["webrtcbin", "nicesink", "openh264dec", "videoscale", "y4menc", "qtdemux", "rtph264pay"]


@functools.cache
def installed() -> bool:
    elements = f"all(Gst.ElementFactory.find(name) for name in {NEEDED})"
    script = f"import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst; Gst.init(None); assert {elements}"
    return subprocess.run([SYSTEM_PYTHON, "-c", script], capture_output=True, check=False).returncode == 0


@pytest.fixture(autouse=True)
def gstreamer() -> None:
    need(
        installed(),
        "GStreamer's webrtcbin is not installed (apt: gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
        "gstreamer1.0-nice gir1.2-gst-plugins-bad-1.0 python3-gi)",
    )


def test_its_h264_comes_out_redacted(server: Server, scene: Scene) -> None:
    with running(SYSTEM_PYTHON, str(SCRIPT), "publish", str(scene.again), f"{server.url}/whip/webrtcbin", TOKEN):
        planes = seen(f"{server.url}/whep/webrtcbin/redacted", TOKEN, 60)
    assert_redacted(planes, scene, 60)


def test_it_watches_a_redacted_feed(server: Server, scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "out.y4m"
    with published(server, scene, "for-webrtcbin"):
        with running(SYSTEM_PYTHON, str(SCRIPT), "watch", f"{server.url}/whep/for-webrtcbin/redacted", TOKEN, str(out)):
            wait_until(lambda: out.exists() and out.stat().st_size > 90 * 640 * 480 * 1.5, "90 decoded frames", 60)
    assert_redacted(lumas(out), scene, 60)
