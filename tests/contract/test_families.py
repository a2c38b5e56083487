"""What every family keeps: its decoding is what a plain loop says, in the shapes and types that all share."""

from __future__ import annotations

import numpy as np
import pytest

from engines.detect.families import FAMILIES, UnknownFamily, family_names, family_of
from engines.runtimes.signature import Port, Signature
from tests.contract.golden import CASES, HEIGHT, WIDTH, Case

SIZE = HEIGHT, WIDTH
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.family} {case.outputs[0][0]}")


def test_every_family_has_golden_tensors() -> None:
    for family in FAMILIES:
        own = [case for case in CASES if case.family in (family.name, *family.also)]
        assert any(family.recognise(case.signature()) for case in own), f"{family.name}: {family.expects}"


@each_case
def test_decoding_is_what_a_plain_loop_says(case: Case) -> None:
    outputs = case.tensors(seed=3)
    untouched = [output.copy() for output in outputs]
    family = family_of(case.signature(), case.family)
    rows = list(case.loop(outputs))
    for conf in (0.1, 0.3, 0.7):
        expected = [row for row in rows if row[1] > conf]
        assert expected or conf == 0.7, "the golden tensors hold nothing"
        found = family.decode(outputs, conf, SIZE)
        assert len(found.boxes) == len(expected)
        if not expected:
            continue
        boxes, scores, classes, points = zip(*expected, strict=True)
        np.testing.assert_allclose(found.boxes, boxes, rtol=1e-4, atol=1e-2)
        np.testing.assert_allclose(found.scores, scores, rtol=1e-4, atol=1e-5)
        assert found.classes.tolist() == list(classes)
        if points[0] is None:
            assert np.isnan(found.landmarks).all()
        else:
            np.testing.assert_allclose(found.landmarks.reshape(-1, 10), points, rtol=1e-4, atol=1e-2)
    for output, before in zip(outputs, untouched, strict=True):
        assert np.array_equal(output, before), "decoding changed the network's own memory"


@each_case
def test_what_comes_out_is_of_one_shape_and_kind_and_nobody_elses_memory(case: Case) -> None:
    family = family_of(case.signature(), case.family)
    for outputs in (case.tensors(seed=5), [np.full(shape, -20, np.float32) for shape, _ in case.outputs]):
        found = family.decode(outputs, 0.2, SIZE)
        n = len(found.scores)
        assert [array.shape for array in found] == [(n, 4), (n,), (n,), (n, 5, 2)]
        assert [array.dtype for array in found] == [np.float32, np.float32, np.int32, np.float32]
        assert all(array.flags.writeable for array in found)
        assert not any(np.may_share_memory(array, output) for array in found for output in outputs)


@each_case
def test_a_broken_networks_numbers_raise_nothing(case: Case) -> None:
    family = family_of(case.signature(), case.family)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        with np.errstate(all="ignore"):
            family.decode([np.full(shape, value, np.float32) for shape, _ in case.outputs], 0.2, SIZE)


@pytest.mark.parametrize("name", family_names())
def test_a_mismatch_says_what_was_expected_and_what_came(name: str) -> None:
    embedding = Signature(
        (Port("data", "float32", (1, 3, HEIGHT, WIDTH)),), (Port("embedding", "float32", (1, 128)),), SIZE
    )
    with pytest.raises(UnknownFamily) as caught:
        family_of(embedding, name)
    said = str(caught.value)
    expected = [family.expects for family in FAMILIES if name in (family.name, *family.also)]
    assert said.startswith(f"{name} expects ")
    assert all(words in said for words in expected)
    assert "embedding float32 [1,128]" in said
    assert len(said.splitlines()) == 1
