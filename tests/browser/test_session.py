"""How the page opens its sessions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.browser import Server, publishing
from tests.browser.conftest import SceneFiles, Watched, wait_for_streams

pytestmark = pytest.mark.browser

OPEN_JS = """async count => {
  const { open } = await import("/static/session.js");
  const peers = Array.from({ length: count }, () => {
    const peer = new RTCPeerConnection();
    peer.addTransceiver("video", { direction: "recvonly" });
    const set = peer.setRemoteDescription.bind(peer);
    peer.setRemoteDescription = async (answer) => {
      await new Promise((resolve) => setTimeout(resolve, 1500)); // a machine that is slow to connect
      return set(answer);
    };
    return peer;
  });
  return Promise.all(peers.map((peer) => open(peer, "/whep/demo/raw").then(() => "opened", (refused) => refused.message)));
}"""


def test_a_page_that_is_slow_to_connect_is_refused_nothing(
    server: Server, scene: SceneFiles, open_page: Callable[[str], Watched]
) -> None:
    with publishing(scene.video, f"{server.url}/whip/demo"):
        wait_for_streams(server, "demo")
        watched = open_page(server.url)
        watched.rises("redacted")
        assert watched.page.evaluate(OPEN_JS, 6) == ["opened"] * 6
