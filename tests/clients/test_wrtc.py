"""`@roamhq/wrtc`, libwebrtc in Node, publishes and watches. It has VP8 and no H.264."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.browser import Server, write_camera
from tests.clients.conftest import TOKEN, need, published, running
from tests.clients.watching import Scene, assert_redacted, lumas, seen
from tests.server.door.running import wait_until

NODE = Path(__file__).with_name("node")


@pytest.fixture(autouse=True)
def wrtc() -> None:
    there = shutil.which("node") is not None and (NODE / "node_modules/@roamhq/wrtc").is_dir()
    need(there, "@roamhq/wrtc is not installed (npm ci --prefix tests/clients/node)")


def test_its_vp8_comes_out_redacted(server: Server, scene: Scene, tmp_path: Path) -> None:
    camera = tmp_path / "scene.y4m"
    write_camera(scene.video, camera)
    with running("node", "client.js", "publish", str(camera), f"{server.url}/whip/wrtc", TOKEN, cwd=NODE):
        planes = seen(f"{server.url}/whep/wrtc/redacted", TOKEN, 60)
    assert_redacted(planes, scene, 60)


def test_it_watches_a_redacted_feed_in_vp8(server: Server, scene: Scene, tmp_path: Path) -> None:
    out = tmp_path / "out.y4m"
    with published(server, scene, "for-wrtc"):
        with running("node", "client.js", "watch", f"{server.url}/whep/for-wrtc/redacted", TOKEN, str(out), cwd=NODE):
            wait_until(lambda: out.exists() and out.stat().st_size > 90 * 640 * 480 * 1.5, "90 decoded frames", 60)
    assert_redacted(lumas(out), scene, 60)
