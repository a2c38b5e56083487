"""`bench sizes`: what is timed is what a detector does, and two runs can be laid beside each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import sizes
from benchmarks.speed.measure import Measured, Stages, measure
from benchmarks.speed.table import compared, markdown, save_plot
from engines.runtimes import RuntimeFailure
from engines.train.networks.cost import Ceiling
from tests.client.command import run
from tests.onnx_made import yolov8

CEILING = Ceiling(790e12, 4.3e12)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "two.onnx"
    path.write_bytes(yolov8([(8, 8, 24, 24), (30, 30, 60, 60)], [0, 1], ["a", "b"]))
    return path


def row(net: str, infer: float) -> dict[str, object]:
    stages = Stages(0.1, infer, 0.2, 0.0)
    return sizes.row_of(net, 32, CEILING, 2, Measured(stages, np.full(10, sum(stages)), 5.0, 100, 1.5), {})


@pytest.mark.parametrize("kind", ["openvino", "onnxruntime"])
def test_each_stage_is_timed_and_the_boxes_are_found(kind: str, network: Path) -> None:
    found = measure(network, 64, kind, 1, 1, 0.1)  # type: ignore[arg-type]
    assert found.boxes == 2
    assert found.stages.copy == 0
    assert min(found.stages[:3]) > 0
    assert found.percentile(50) <= found.percentile(95) <= found.percentile(99)
    assert found.memory_mib > 20
    assert found.ready_s > 0


def test_a_cpu_takes_one_picture_at_a_time(network: Path) -> None:
    with pytest.raises(ValueError, match="1 pictures at a time"):
        measure(network, 64, "onnxruntime", 8, 1, 0.1)


def test_a_row_has_the_floor_and_yolov5_s_own_figure() -> None:
    told = row("s6", 0.3)
    assert told["floor_ms"] == pytest.approx(0.146, abs=0.001)
    assert told["total_ms"] == pytest.approx(0.6)
    assert told["share_of_floor"] == pytest.approx(0.146 / 0.6, abs=0.01)
    assert told["v100_ms"] == 4.3
    assert row("n", 0.3)["v100_ms"] is None


def test_tables_and_plot(tmp_path: Path) -> None:
    before, after = [row("s6", 0.9), row("n", 0.1)], [row("s6", 0.3)]
    lines = markdown(before).splitlines()
    assert len(lines) == 4
    assert "torch eager" not in lines[0]
    assert lines[0].endswith("| V100, YOLOv5's table |")
    assert "| s6 | 1280 | 32 | 0.146 |" in lines[2]
    assert "| s6 | 32 | 1.2 | 0.6 | 2.00 |" in compared(before, after)
    save_plot(tmp_path / "plot.png", before, "before")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture is not None
    assert (picture != 255).any()


def test_compare_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, infer in (("a", 0.9), ("b", 0.3)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": [row("s6", infer)]}))
    assert run("bench", "sizes", "--compare", tmp_path / "a.json", tmp_path / "b.json") == 0
    assert "2.00" in capsys.readouterr().out
    (tmp_path / "a.json").write_text("{}")
    assert run("bench", "sizes", "--compare", tmp_path / "a.json", tmp_path / "b.json") == 2


@pytest.mark.parametrize(("words", "says"), [(["--nets", "n,q"], "no net 'q'"), (["--runtime", "cuda"], "no runtime")])
def test_bad_input(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "sizes", *words) == 2
    assert says in capsys.readouterr().err


def test_without_a_gpu_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sizes, "trouble", lambda kind: "torch 2.11 finds no NVIDIA GPU")
    assert run("bench", "sizes", "--runtime", "torch_cuda") == 1
    assert "finds no NVIDIA GPU" in capsys.readouterr().err


def test_a_run_that_is_ended_leaves_what_it_has(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(net: str, *_: object) -> Path:
        if net == "s":
            raise KeyboardInterrupt
        return network

    monkeypatch.setattr(sizes, "cpu_ceiling", lambda threads: CEILING)
    monkeypatch.setattr(sizes, "network", ended)
    monkeypatch.setattr(sizes, "measure", lambda *_: Measured(Stages(1, 2, 3, 0), np.full(5, 6.0), 2, 9, 1.0))
    with pytest.raises(KeyboardInterrupt):
        sizes.command(nets="n,s", batch="1", runtime="openvino", threads=1, seconds=0.1, onnx=tmp_path, out=tmp_path)
    assert [row["net"] for row in json.loads((tmp_path / "sizes_openvino.json").read_text())["rows"]] == ["n"]
    assert (tmp_path / "sizes_openvino.png").is_file()


def test_a_net_that_torch_cannot_run_is_measured_without_it(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeFailure("torch ended with 1")

    monkeypatch.setattr(sizes, "trouble", lambda kind: None)
    monkeypatch.setattr(sizes, "gpu_ceiling", lambda: (CEILING, {"torch": "2.11.0"}))
    monkeypatch.setattr(sizes, "torch_times", fails)
    monkeypatch.setattr(sizes, "network", lambda *_: network)
    monkeypatch.setattr(sizes, "measure", lambda *_: Measured(Stages(1, 2, 3, 0), np.full(5, 6.0), 2, 9, 41.5, 1980))
    assert run("bench", "sizes", "--runtime", "torch_cuda", "--nets", "s6", "--batch", "32", "--out", tmp_path) == 0
    shown = capsys.readouterr().out
    assert "s6, eager and compiled torch: not run: torch ended with 1" in shown
    assert "| s6 | 1280 | 32 |" in shown
    (row,) = json.loads((tmp_path / "sizes_torch_cuda.json").read_text())["rows"]
    assert (row["ready_s"], row["sm_mhz"], row["eager_ms"]) == (41.5, 1980, None)
    monkeypatch.setattr(sizes, "gpu_ceiling", fails)
    assert run("bench", "sizes", "--runtime", "torch_cuda", "--out", tmp_path) == 1
    assert "ceilings are measured by torch: torch ended with 1" in capsys.readouterr().err


def test_a_network_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sizes, "cpu_ceiling", lambda threads: CEILING)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("engines.train.networks.export")]:
        monkeypatch.delitem(sys.modules, name)
    assert run("bench", "sizes", "--nets", "n", "--onnx", tmp_path / "nets") == 1
    assert "fancam export yolov5n" in capsys.readouterr().out
