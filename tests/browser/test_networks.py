"""The page where it is not opened on the server's own machine: over plain HTTP, and with STUN and TURN servers."""

from __future__ import annotations

from collections.abc import Callable

import ifaddr
import pytest
from playwright.sync_api import Browser

from benchmarks.browser import publishing
from tests.browser.conftest import SceneFiles, Watched
from tests.networks.serving import serving, started

pytestmark = pytest.mark.browser

TOKEN = "of-this-test"
SERVERS = ("stun:127.0.0.1:9", "turn:venue:a%22b@127.0.0.1:9?transport=udp")
NOTE_JS = """
  globalThis.told = [];
  const describe = RTCPeerConnection.prototype.setLocalDescription;
  RTCPeerConnection.prototype.setLocalDescription = function (...words) {
    told.push(this.getConfiguration().iceServers);
    return describe.apply(this, words);
  };
"""


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback: what others open the page by."""
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if isinstance(ip.ip, str) and not ip.ip.startswith("127."):
                return ip.ip
    pytest.skip("this machine has no address but loopback")


def test_over_plain_http_from_elsewhere_one_watches_but_has_no_camera(
    scene: SceneFiles, open_page: Callable[[str], Watched]
) -> None:
    with (
        serving("--host", own_address(), "--token", TOKEN) as url,
        started("publish", str(scene.video), f"{url}/whip/demo", "--loop", "--token", TOKEN),
    ):
        watched = open_page(f"{url}/#token={TOKEN}")
        watched.rises("raw")
        button = watched.page.locator("#camera")
        assert button.is_disabled()
        assert "HTTPS" in (button.get_attribute("title") or "")
        assert "HTTPS" in watched.page.inner_text("#notice")
        assert watched.complaints == []


def test_the_page_uses_the_ice_servers_that_the_server_names(scene: SceneFiles, browser: Browser) -> None:
    context = browser.new_context()
    context.add_init_script(NOTE_JS)
    flags = [word for server in SERVERS for word in ("--ice-server", server)]
    try:
        with serving(*flags) as url, publishing(scene.video, f"{url}/whip/demo"):
            watched = Watched(context.new_page(), url)
            watched.rises("raw", by=5)
            assert not watched.page.locator("#camera").is_disabled()
            told = watched.page.evaluate("told[0]")
        assert [server["urls"] for server in told] == [["stun:127.0.0.1:9"], ["turn:127.0.0.1:9?transport=udp"]]
        assert (told[1]["username"], told[1]["credential"]) == ("venue", 'a"b')
    finally:
        context.close()
