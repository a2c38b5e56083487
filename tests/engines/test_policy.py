"""Who a policy lets be seen: named members who are surely themselves, and never a stranger."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.policy import Cover, parse_cover

BAND = ("ada", "bea", "cleo")


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        ("everyone", set()),
        ({"except": ["ada"]}, {"ada"}),
        ({"except": ["ada", "ada", "cleo"]}, {"ada", "cleo"}),
        ({"except": ["zoe"]}, set()),
        ({"only": ["ada"]}, {"bea", "cleo"}),
        ({"only": ["ada", "bea", "cleo"]}, set()),
        ({"only": ["ada", "zoe"]}, set()),  # zoe might be taken for bea
    ],
)
def test_who_is_shown(policy: Any, shown: set[str]) -> None:
    assert {BAND[place] for place in parse_cover(policy).shown(BAND)} == shown
    assert parse_cover(policy).shown(()) == set()


names = st.lists(st.sampled_from([*BAND, "zoe", "yin"]), min_size=1)


@given(st.sampled_from(["except", "only"]), names, st.sets(st.sampled_from(BAND)))
def test_nobody_is_shown_who_is_no_member_or_must_be_covered(kind: str, named: list[str], members: set[str]) -> None:
    known = sorted(members)
    shown = {known[place] for place in parse_cover({kind: named}).shown(known)}
    assert not shown & set(named) if kind == "only" else shown <= set(named)


@pytest.mark.parametrize(
    "value",
    [
        "nobody", "", None, True, [], ["ada"], {}, {"except": []}, {"only": []}, {"except": "ada"}, {"except": [""]},
        {"except": ["ada"], "only": ["bea"]}, {"everyone": True}, {"except": [1]}, {"only": ["a"] * 257},
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(ValueError, match="cover") as caught:
        parse_cover(value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("policy", ["everyone", {"except": ["ada"]}, {"only": ["bea", "ada"]}])
def test_a_policy_is_told_as_it_was_given(policy: Any) -> None:
    assert parse_cover(policy).told() == policy


def test_a_name_that_nobody_has_is_refused_with_those_there_are() -> None:
    parse_cover({"only": ["ada"]}).check(BAND)
    with pytest.raises(ValueError, match="'zoe': known are ada, bea, cleo"):
        parse_cover({"except": ["ada", "zoe"]}).check(BAND)
    with pytest.raises(ValueError, match="knows nobody by name"):
        parse_cover({"except": ["ada"]}).check(())
    Cover().check(())
