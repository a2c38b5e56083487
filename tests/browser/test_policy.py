"""Who is covered is decided on the page, and whoever is shown by policy is named on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.browser import Server, publishing
from engines.models.networks import Network, Networks
from tests.browser.conftest import SceneFiles, Watched, wait_for_streams
from tests.server.door.running import Running, running_door, wait_until

pytestmark = pytest.mark.browser

Open = Callable[[str], Watched]
STREET = Networks((Network("street.onnx", "yolov8", ("license plate", "person")), Network()))
BAND = Networks((Network("band.onnx", "yolov8", ("ada", "bea", "cleo"), members=True), Network()))


@pytest.fixture
def band(scene: SceneFiles) -> Iterator[Running]:
    """A door whose model is said to know three members, with a stream; its studio has no pixels."""
    with running_door(networks=BAND) as door:
        with publishing(scene.video, f"{door.url}/whip/stage"):
            wait_until(lambda: door.ask("GET", "/streams").json()["streams"], "the stream", 60)
            yield door


def stage(door: Running) -> dict[str, Any]:
    (stream,) = door.ask("GET", "/streams").json()["streams"]
    return stream


def test_a_member_is_exempted_on_the_page_and_named_there(band: Running, open_page: Open) -> None:
    watched = open_page(band.url)
    page = watched.page
    page.click("#who:not(:disabled)")
    assert not page.is_visible("#shown")
    page.check("#policy [value=except]")
    page.check("#policy [value=ada]")
    page.check("#policy [name=fancams]")
    page.click("#policy [type=submit]")
    watched.until(lambda: page.is_visible("#shown"), "who is shown")
    assert page.inner_text("#shown") == "ada is shown by policy."
    assert (stage(band)["cover"], stage(band)["fancams"]) == ({"except": ["ada"]}, "cover others")

    page.click("#who")
    assert page.is_checked("#policy [value=ada]")
    page.check("#policy [value=only]")
    page.click("#policy [type=submit]")
    watched.until(lambda: page.inner_text("#shown") == "bea and cleo are shown by policy.", "the others")

    page.click("#who")
    page.check("#policy [value=everyone]")
    page.click("#policy [type=submit]")
    watched.until(lambda: not page.is_visible("#shown"), "nobody is shown")
    assert stage(band)["cover"] == "everyone"
    assert watched.complaints == []


def test_what_is_covered_besides_faces_is_chosen_on_the_page(scene: SceneFiles, open_page: Open) -> None:
    with running_door(networks=STREET) as door, publishing(scene.video, f"{door.url}/whip/stage"):
        wait_until(lambda: door.ask("GET", "/streams").json()["streams"], "the stream", 60)
        watched = open_page(door.url)
        page = watched.page
        page.click("#who:not(:disabled)")
        assert page.inner_text("#policy .classes").split() == ["license", "plate", "person"]
        assert not page.is_checked("#policy [name=heads]")
        page.check("#policy [value='license plate']")
        page.check("#policy [name=heads]")
        page.click("#policy [type=submit]")
        watched.until(lambda: stage(door)["classes"], "the change")
        assert (stage(door)["classes"], stage(door)["heads"]) == (["license plate"], True)

        def opens_checked() -> bool:
            page.click("#who")
            checked = page.is_checked("#policy [value='license plate']")
            if not checked:
                page.click("#who")
            return checked

        watched.until(opens_checked, "the page's knowing of it")
        page.uncheck("#policy [value='license plate']")
        page.uncheck("#policy [name=heads]")
        page.click("#policy [type=submit]")
        watched.until(lambda: not stage(door)["classes"], "the change back")
        assert stage(door)["heads"] is False
        assert watched.complaints == []


def test_who_is_who_and_how_sure_that_is_stands_on_the_page(band: Running, open_page: Open) -> None:
    watched = open_page(band.url)
    watched.until(lambda: watched.page.inner_text("#fancams b") == "ada (unsure)", "her name")
    assert watched.page.inner_text("#lost") == "Not seen: bea, cleo."
    assert watched.complaints == []


def test_where_nobody_is_known_by_name_everyone_is_covered_and_the_page_says_so(
    server: Server, scene: SceneFiles, open_page: Open
) -> None:
    with publishing(scene.video, f"{server.url}/whip/plain"):
        wait_for_streams(server, "plain")
        watched = open_page(server.url)
        watched.page.click("#who:not(:disabled)")
        assert "knows nobody by name" in watched.page.inner_text("#policy")
        assert watched.page.is_disabled("#policy [value=except]")
        assert not watched.page.is_visible("#policy [name=heads]"), "the built-in model finds faces only"
        watched.page.check("#policy [name=fancams]")
        watched.page.click("#policy [type=submit]")
        watched.until(lambda: server.get("/streams")["streams"][0]["fancams"] == "cover others", "the change")
        watched.a_fancam_rises()
        assert watched.complaints == []
