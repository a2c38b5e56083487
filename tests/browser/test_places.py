"""The page where it is opened elsewhere than on a desk at 127.0.0.1."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.browser import Server
from tests.browser.conftest import Watched
from tests.server.door.running import running_door

pytestmark = pytest.mark.browser


def test_on_a_phone_nothing_lies_beside_the_screen(server: Server, open_page: Callable[[str], Watched]) -> None:
    page = open_page(server.url).page
    page.set_viewport_size({"width": 360, "height": 700})
    page.get_by_role("button", name="Use my camera").click()
    page.locator("figure[data-feed='redacted']").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Stop camera").click()
    page.locator("#state", has_text="nobody publishes").wait_for()


def test_without_a_secure_address_the_page_says_why_there_is_no_camera(
    server: Server, open_page: Callable[[str], Watched]
) -> None:
    page = open_page(server.url).page
    page.add_init_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.reload()
    page.locator("#notice", has_text="HTTPS").wait_for()
    assert page.get_by_role("button", name="Use my camera").is_disabled()


def test_a_wrong_token_is_asked_for_again_and_the_page_says_so(open_page: Callable[[str], Watched]) -> None:
    with running_door(token=("view-redacted:a-long-enough-secret",)) as door:
        page = open_page(door.url).page
        page.locator("#login").wait_for()
        assert not page.is_visible("#refused")
        page.keyboard.type("nonsense\n")
        page.locator("#refused").wait_for()
        page.keyboard.type("a-long-enough-secret\n")
        page.locator("#empty", has_text=f"{door.url}/whip/NAME").wait_for()
        assert not page.is_visible("#login")
