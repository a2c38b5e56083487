"""Who is covered, as the door is told: names are checked, an exemption is logged with who asked for it, and told to those who
may know names."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from engines.models.networks import Network, Networks
from server.door.streams import Refused
from server.link import Kind, Message, json_body
from tests.server.door.house import House
from tests.server.door.rtc import Publisher
from tests.server.door.running import Running, running_door
from tests.server.door.test_events import events

BAND = ("ada", "bea")


def entry(house: House, **how: Any) -> dict[str, Any]:
    (stream,) = house.hub.describe(**how)["streams"]
    return stream


def test_an_exemption_goes_to_the_studio_and_into_the_log_with_who_asked_for_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(members=BAND)
    source, _ = house.publish()
    assert entry(house, names=True)["cover"] == "everyone"
    with caplog.at_level(logging.INFO):
        told = house.hub.policies.change("stage", {"cover": {"except": ["ada"]}}, "token 3")
    assert told == {"cover": {"except": ["ada"]}}
    assert house.port.last(Kind.POLICY).json() == {"cover": {"except": ["ada"]}}
    (line,) = [record.getMessage() for record in caplog.records if "redaction" in record.getMessage()]
    assert "ada" in line
    assert "token 3" in line

    house.hub.stop("stage", source)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        house.publish()
    assert "stage: redaction begins with cover {'except': ['ada']}" in [
        record.getMessage() for record in caplog.records
    ]
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["cover"] == {"except": ["ada"]}, (
        "a restart forgets nothing"
    )


def test_a_name_that_the_model_does_not_know_is_refused_and_changes_nothing() -> None:
    house = House(members=BAND)
    house.publish()
    with pytest.raises(Refused, match="'zoe': known are ada, bea") as caught:
        house.hub.policies.change("stage", {"cover": {"only": ["ada", "zoe"]}, "style": "blur"}, "token 0")
    assert caught.value.status == 422
    assert Kind.POLICY not in house.port.kinds()
    assert entry(house, names=True)["cover"] == "everyone"


def test_what_still_waits_for_viewers_is_taken_back() -> None:
    house = House(members=BAND)
    house.publish()
    redacted, raw = house.watch(), house.watch("raw", offered=("h264",))
    house.hub.policies.change("stage", {"style": "mosaic"}, "token 0")
    assert (redacted.feed.broadcast.dropped, raw.feed.broadcast.dropped) == (0, 0)
    house.hub.policies.change("stage", {"cover": "everyone"}, "token 0")
    assert (redacted.feed.broadcast.dropped, raw.feed.broadcast.dropped) == (1, 0)


@pytest.mark.parametrize("cover", [{"except": ["ada"]}, {"only": ["ada"]}])
def test_names_are_told_to_those_who_may_know_them_and_to_others_that_not_everyone_is_covered(
    cover: dict[str, Any],
) -> None:
    house = House(members=BAND)
    house.publish()
    house.hub.policies.change("stage", {"cover": cover, "fancams": "cover others"}, "token 0")
    assert entry(house, names=True)["cover"] == cover
    assert house.hub.describe(names=True)["members"] == BAND
    assert entry(house)["cover"] == "not everyone"
    assert entry(house)["fancams"] == "cover others"
    assert not any(name in json.dumps(house.hub.describe()) for name in BAND)


def test_over_http_names_are_for_admin_alone() -> None:
    networks = Networks((Network("band.onnx", "yolov8", BAND, members=True), Network()))
    admin, viewer = {"Authorization": "Bearer a"}, {"Authorization": "Bearer v"}
    body = json.dumps({"cover": {"except": ["ada"]}})

    def exempt(**who: str) -> int:
        return door.ask("PATCH", "/streams/stage/redaction", body, Content_Type="application/json", **who).status

    def listener(who: dict[str, str]) -> Iterator[tuple[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=15)
        listening.callback(connection.close)
        connection.request("GET", "/events", headers=who)
        response = connection.getresponse()
        listening.callback(response.close)
        return events(response)

    def cover_told(heard: Iterator[tuple[str, Any]]) -> Any:
        told = (data["streams"][0]["cover"] for name, data in heard if name == "streams" and data["streams"])
        return next(cover for cover in told if cover != "everyone")

    async def scenario() -> None:
        publisher = Publisher(door, "/whip/stage", **admin)
        assert (await publisher.offer()).status == 201
        heard = [await asyncio.to_thread(listener, who) for who in (admin, viewer)]
        assert [await asyncio.to_thread(exempt, **who) for who in (viewer, admin)] == [403, 200]
        told = [await asyncio.to_thread(cover_told, one) for one in heard]
        assert told == [{"except": ["ada"]}, "not everyone"]
        asked = [(await asyncio.to_thread(door.ask, "GET", "/streams", **who)).body for who in (admin, viewer)]
        assert [b"ada" in text for text in asked] == [True, False]
        await publisher.close()

    with (
        running_door(networks=networks, token=("admin,publish:a", "view-redacted:v")) as door,
        ExitStack() as listening,
    ):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cover": "nobody"}, 'cover: cover is "everyone", {"except": [names]} or {"only": [names]}'),
        ({"cover": {"except": []}}, "cover: except is a list of 1 to 256 names"),
        ({"cover": {"only": "ada"}}, "cover: only is a list of 1 to 256 names"),
        ({"fancams": "hide"}, "fancams: "),
        ({"covers": "everyone"}, "covers: "),
        ({"cover": "everyone", "off": True}, "off: "),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(door: Running, change: dict[str, Any], why: str) -> None:
    answer = door.ask("PATCH", "/streams/any/redaction", json.dumps(change), Content_Type="application/json")
    assert answer.status == 422
    assert why in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_who_is_who_is_told_to_those_who_may_know_names_and_to_others_not_even_that_a_track_has_one() -> None:
    house = House(members=BAND)
    house.publish()
    tracks = [{"id": 3, "seconds": 1, "member": 1, "state": "unsure"}, {"id": 4, "seconds": 1}]
    body = json_body({"width": 640, "height": 360, "tracks": tracks, "members": ["lost", "unsure"]})
    house.hub.on_message(Message(Kind.TRACKS, house.hub.streams["stage"].ident, body))
    named, nameless = entry(house, names=True), entry(house)
    assert named["members"] == {"ada": "lost", "bea": "unsure"}
    assert named["tracks"] == [
        {"label": "person 3", "id": 3, "seconds": 1, "state": "unsure", "member": "bea"},
        {"label": "person 4", "id": 4, "seconds": 1},
    ]
    assert "members" not in nameless
    assert nameless["tracks"][0] == {"label": "person 3", "id": 3, "seconds": 1}
    assert not any(name in json.dumps(house.hub.describe()) for name in BAND)
