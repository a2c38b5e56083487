"""Plans are found for what they were built for alone, and only those written here are handed out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engines.plans.key import Key, Target, buckets_of
from engines.plans.store import NoPlan, PlanError, Store, default_folder

HERE = Target("tensorrt 10.13.0.35", "580.65.06", "NVIDIA H200", "9.0")
ONNX = "ab" * 32
KEY = Key(ONNX, "fp16", (640, 640), buckets_of([1, 8, 32]), 3, 0, HERE)
PORTS = {"images": {"mode": "INPUT", "dtype": "HALF", "shape": [-1, 3, 640, 640]}}


def test_a_plan_comes_back_as_it_was_put(folder: Path) -> None:
    Store(folder).put(KEY, PORTS, b"\x00\nplan\xff" * 1000)
    plan = Store(folder).find(ONNX, HERE, (640, 640))
    assert bytes(plan.data) == b"\x00\nplan\xff" * 1000
    assert plan.key == KEY
    assert plan.key.buckets == ((1, 1, 1), (1, 8, 8), (8, 32, 32))
    assert plan.ports == PORTS


def test_what_differs_is_said(folder: Path) -> None:
    store = Store(folder)
    with pytest.raises(NoPlan, match="no plan of this network"):
        store.find(ONNX, HERE)
    store.put(KEY, PORTS, b"plan")
    with pytest.raises(NoPlan, match=r"the driver was 580\.65\.06 and is 590\.1"):
        store.find(ONNX, replace(HERE, driver="590.1"))
    with pytest.raises(
        NoPlan, match=r"library was tensorrt 10\.13\.0\.35 and is tensorrt 11\.4\.0\.106; .*H200 and is NVIDIA L4"
    ):
        store.find(ONNX, replace(HERE, tensorrt="tensorrt 11.4.0.106", device="NVIDIA L4"))
    with pytest.raises(NoPlan, match="no plan of this network"):
        store.find(ONNX, HERE, (1280, 1280))


def test_a_new_plan_takes_the_place_of_the_one_for_another_driver(folder: Path) -> None:
    store, newer = Store(folder), replace(HERE, driver="590.1")
    other_gpu, other_size = replace(KEY, target=replace(HERE, device="NVIDIA L4")), replace(KEY, size=(320, 320))
    for key in (KEY, other_gpu, other_size, replace(KEY, target=newer)):
        store.put(key, PORTS, b"plan")
    assert len(store.built()) == 3
    assert KEY not in store.built()
    assert store.find(ONNX, newer, (640, 640)).key.target == newer


def test_a_changed_file_is_refused(folder: Path) -> None:
    path = Store(folder).put(KEY, PORTS, b"plan" * 100)
    whole = path.read_bytes()
    for place in (0, 20, 100, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(PlanError):
            Store(folder).find(ONNX, HERE)
    path.write_bytes(whole[:50])
    with pytest.raises(PlanError):
        Store(folder).find(ONNX, HERE)


def test_a_plan_from_another_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    foreign = Store(tmp_path / "foreign").put(KEY, PORTS, b"plan")
    (Store(folder).folder / foreign.name).write_bytes(foreign.read_bytes())
    (folder / foreign.name).chmod(0o600)
    with pytest.raises(PlanError, match="was not written here"):
        Store(folder).find(ONNX, HERE)


def test_nobody_else_may_read_or_write(folder: Path) -> None:
    path = Store(folder).put(KEY, PORTS, b"plan")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    path.chmod(0o644)
    with pytest.raises(PlanError, match="chmod 600"):
        Store(folder).find(ONNX, HERE)
    folder.chmod(0o750)
    with pytest.raises(PlanError, match="chmod 700"):
        Store(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(folder: Path) -> None:
    Store(folder)
    os.chown(folder, 12345, 12345)
    with pytest.raises(PlanError, match="belongs to another user"):
        Store(folder)


def test_a_timing_cache_is_kept_by_library_and_gpu_and_trusted_only_when_it_was_written_here(folder: Path) -> None:
    store = Store(folder)
    assert store.timing(HERE) == b""
    store.put_timing(HERE, b"tactics")
    assert store.timing(HERE) == b"tactics"
    assert store.timing(replace(HERE, capability="8.9")) == b""
    (file,) = folder.glob("*.timing")
    file.write_bytes(file.read_bytes()[:-1] + b"S")
    assert store.timing(HERE) == b""


def test_they_lie_in_the_user_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "fancam/plans"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    assert default_folder() == Path.home() / ".cache/fancam/plans"


@pytest.mark.parametrize("batches", [[], [0], [-1, 4]])
def test_batches_begin_with_one(batches: list[int]) -> None:
    with pytest.raises(ValueError, match="from 1 on"):
        buckets_of(batches)
