"""What is covered besides faces, as the door is told: what no model finds is refused with those that are found."""

from __future__ import annotations

import json

import pytest

from engines.models.networks import Network, Networks
from server.door.streams import Refused
from server.link import Kind
from tests.server.door.house import House
from tests.server.door.running import Running

STREET = Networks((Network(), Network("street.onnx", "yolov8", ("person", "plate"))))


def policy_of(house: House) -> tuple[list[str], bool]:
    """What the studio was last told to cover besides faces."""
    policy = house.port.last(Kind.STREAM_OPEN).json()["policy"]
    return policy["classes"], policy["heads"]


def test_every_stream_begins_with_what_the_settings_say_and_its_own_goes_first() -> None:
    house = House({"lobby": {"heads": False}}, finds=STREET.classes, policy={"classes": ["plate"], "heads": True})
    house.publish("stage")
    assert policy_of(house) == (["plate"], True)
    house.publish("lobby")
    assert policy_of(house) == (["plate"], False)


@pytest.mark.parametrize(
    ("finds", "change", "said"),
    [
        (STREET.classes, {"classes": ["plate", "dog"]}, "no model here finds 'dog': known are face, person, plate"),
        (("face",), {"classes": ["plate"]}, "no model here finds 'plate': known are face"),
        (("face",), {"heads": True}, "heads are covered where a model finds 'person': known are face"),
    ],
)
def test_what_no_model_finds_is_refused_and_changes_nothing(finds, change, said) -> None:
    house = House(finds=finds)
    house.publish()
    with pytest.raises(Refused, match=said) as caught:
        house.hub.policies.change("stage", change, "token 0")
    assert caught.value.status == 422
    assert Kind.POLICY not in house.port.kinds()


def test_what_could_be_covered_besides_faces_is_told() -> None:
    assert House(finds=STREET.classes).hub.describe()["besides"] == ("person", "plate")
    assert "besides" not in House(finds=("face", "masked face")).hub.describe()
    band = House(finds=("ada", "bea", "face"), members=("ada", "bea"))
    assert "besides" not in band.hub.describe(names=True), "whose faces are known is told as members"


def test_over_http_it_is_one_line(door: Running) -> None:
    for change, status, why in (
        ({"classes": "plate"}, 422, "classes: "),
        ({"heads": 1}, 422, "heads: "),
        ({"classes": [], "heads": False}, 404, "no stream any"),
    ):
        answer = door.ask("PATCH", "/streams/any/redaction", json.dumps(change), Content_Type="application/json")
        assert answer.status == status
        assert why in answer.json()["detail"]
        assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("change", [{"classes": ["plate"]}, {"heads": True}])
def test_what_still_waits_for_viewers_is_taken_back(change) -> None:
    house = House(finds=STREET.classes)
    house.publish()
    redacted = house.watch()
    house.hub.policies.change("stage", change, "token 0")
    assert redacted.feed.broadcast.dropped == 1
