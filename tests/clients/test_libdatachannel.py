"""libdatachannel, which OBS sends by, publishes as OBS does: its own offer, its own packets of H.264 and Opus."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import pytest

from benchmarks.browser import Server
from tests.clients.conftest import TOKEN, need, running
from tests.clients.watching import Scene, assert_redacted, seen

NODE = Path(__file__).with_name("node")


@pytest.fixture(autouse=True)
def libdatachannel() -> None:
    there = shutil.which("node") is not None and (NODE / "node_modules/node-datachannel").is_dir()
    need(there, "node-datachannel is not installed (npm ci --prefix tests/clients/node)")


def write_units(video: Path, out: Path) -> None:
    """The access units of an MP4's H.264 in Annex B, each behind its length (32 bit, big endian)."""
    with av.open(str(video)) as box, out.open("wb") as file:
        annex_b = av.BitStreamFilterContext("h264_mp4toannexb", box.streams.video[0])
        for packet in box.demux(video=0):
            for unit in annex_b.filter(packet):
                file.write(unit.size.to_bytes(4, "big") + bytes(unit))


def test_its_h264_comes_out_redacted(server: Server, scene: Scene, tmp_path: Path) -> None:
    units = tmp_path / "scene.units"
    write_units(scene.video, units)
    with running("node", "libdatachannel.js", str(units), f"{server.url}/whip/libdatachannel", TOKEN, cwd=NODE):
        planes = seen(f"{server.url}/whep/libdatachannel/redacted", TOKEN, 60)
    assert_redacted(planes, scene, 60)
