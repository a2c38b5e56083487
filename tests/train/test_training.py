"""A run learns, goes on after a kill where it was, and exports to what it computes."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from engines.train import data, export, held_out, network, scenes
from engines.train.network import FaceNet
from engines.train.trainer import (
    CHECKPOINT,
    CURVES,
    LOG_FILE,
    Plan,
    Trainer,
    TrainingError,
    batch_losses,
    learning_rate,
)
from engines.train.workers import WorkerError, parallel_batches

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "SIDES_PX", (96, 128))
    monkeypatch.setattr(data, "BASE_SIDE_PX", 96)


def plan(steps: int) -> Plan:
    return Plan(steps=steps, batch_size=4, threads=1, bfloat16=False)


def train(folder: Path, labels: Path, run: Plan, resume: bool = False, until: int | None = None) -> Trainer:
    trainer = Trainer(folder, run, resume)
    stream = data.batches(data.Album(data.read_labels(labels)), run.seed, itertools.count(trainer.step), run.batch_size)
    trainer.run(stream if until is None else itertools.islice(stream, until - trainer.step))
    return trainer


def test_thirty_steps_lower_the_loss(tmp_path, labelled, monkeypatch):
    monkeypatch.setattr("engines.train.trainer.WARM_UP_STEPS", 5)
    held = data.make_batch(data.Album(data.read_labels(labelled)), 99, 0, 8)

    def held_loss(trainer: Trainer) -> float:
        with torch.no_grad():
            return batch_losses(trainer.network, held, False, trainer.device)["total"].item()

    before = held_loss(train(tmp_path, labelled, plan(30), until=1))
    trainer = train(tmp_path, labelled, plan(30), resume=True)
    assert trainer.step == 30
    assert held_loss(trainer) < 0.9 * before


def test_a_resumed_run_takes_the_same_steps(tmp_path, labelled):
    whole = train(tmp_path / "whole", labelled, plan(6))
    train(tmp_path / "parts", labelled, plan(6), until=3)
    resumed = train(tmp_path / "parts", labelled, plan(6), resume=True)
    assert resumed.step == whole.step == 6
    for name, value in whole.network.state_dict().items():
        assert torch.allclose(value.double(), resumed.network.state_dict()[name].double(), atol=1e-6), name
    for name, value in whole.average.state.items():
        assert torch.allclose(value.double(), resumed.average.state[name].double(), atol=1e-6), name


def test_a_run_that_stops_for_now_goes_on_later(tmp_path, labelled):
    trainer = Trainer(tmp_path, plan(4))
    pictures = data.Album(data.read_labels(labelled))
    trainer.run(data.batches(pictures, 0, itertools.count(), 4), stop_after_s=1e-9)
    assert trainer.step < 4
    assert train(tmp_path, labelled, plan(4), resume=True).step == 4


def test_a_killed_run_keeps_its_last_checkpoint(tmp_path, labelled):
    train(tmp_path, labelled, plan(4), until=2)
    code = (
        "import os, sys, torch; from pathlib import Path; from engines.train import trainer\n"
        "run = trainer.Trainer(Path(sys.argv[1]), trainer.Plan(steps=4), resume=True)\n"
        "save = torch.save\n"
        "def killed(state, path):\n"
        "    save(state, path); os.truncate(path, 1000); os.kill(os.getpid(), 9)\n"
        "torch.save = killed; run.step = 4; run.save()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, timeout=100)
    assert ended.returncode == -9
    assert Trainer(tmp_path, plan(4), resume=True).step == 2


def test_a_run_killed_in_its_steps_goes_on_and_leaves_no_process(tmp_path, labelled):
    """The command itself, killed with nobody to clean up."""
    code = (
        "import sys; from functools import partial; from client.cli.main import main; from engines.train import trainer\n"
        "trainer.LOG_EVERY_STEPS, trainer.SAVE_EVERY_S = 1, 0\n"
        "trainer.Plan = partial(trainer.Plan, batch_size=1)\n"
        "main(['train', 'faces', '--scenes', '0', '--steps', '8', *sys.argv[1:]])\n"
    )
    command = [sys.executable, "-c", code, "--data", str(labelled), "--out", str(tmp_path)]
    log, checkpoint = tmp_path / LOG_FILE, tmp_path / CHECKPOINT
    with subprocess.Popen(command, cwd=ROOT) as killed:
        wait_for(lambda: checkpoint.exists() and log.read_text().count("\n") >= 2)
        makers = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        killed.kill()
    with log.open("a") as file:
        file.write(json.dumps({"step": 99}) + "\n" + '{"step": 10')  # steps after the checkpoint, and a line cut off
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True, timeout=100)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == list(range(1, 9))
    assert Trainer(tmp_path, plan(8), resume=True).step == 8
    assert makers
    wait_for(lambda: not any(Path(f"/proc/{maker}").exists() for maker in makers))


def wait_for(there) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_begins_with_the_weights_it_is_given(tmp_path, labelled):
    first = train(tmp_path / "first", labelled, plan(3))
    second = Trainer(tmp_path / "second", plan(3), start=tmp_path / "first" / CHECKPOINT)
    assert second.step == 0
    for name, value in second.network.state_dict().items():
        assert torch.equal(value, first.average.state[name]), name
    with pytest.raises(TrainingError, match="go on from"):
        Trainer(tmp_path / "third", plan(3), start=tmp_path / "none.pt")


def test_a_network_with_fewer_blocks_gives_the_same_in_a_deeper_one(tmp_path, monkeypatch):
    y, uv = torch.full((1, 1, 64, 96), 90, dtype=torch.uint8), torch.full((1, 2, 32, 48), 140, dtype=torch.uint8)
    y[0, 0, ::3] = 200
    monkeypatch.setattr(network, "STAGE_BLOCKS", (1, 2, 2))
    shallow = FaceNet()
    for module in shallow.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    state = {name: value for name, value in shallow.state_dict().items() if not name.startswith("refines")}
    for refine in shallow.refines:
        torch.nn.init.zeros_(refine.second[1].weight)
    monkeypatch.undo()
    torch.save({"average": state}, tmp_path / "shallow.pt")
    deep = Trainer(tmp_path / "run", plan(1), start=tmp_path / "shallow.pt").network
    assert len(deep.state_dict()) > len(shallow.state_dict())
    for ours, theirs in zip(deep.eval()(y, uv), shallow.eval()(y, uv), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)

    del state["early.0.weight"]
    torch.save({"average": state}, tmp_path / "other.pt")
    with pytest.raises(TrainingError, match=r"weights of another network: early\.0\.weight"):
        Trainer(tmp_path / "other", plan(1), start=tmp_path / "other.pt")


def test_pictures_kept_out_are_never_learnt_and_judged_now_and_then(tmp_path, labelled, monkeypatch):
    monkeypatch.setattr(held_out, "ONE_IN", 3)
    monkeypatch.setattr("engines.train.trainer.LOG_EVERY_STEPS", 2)
    entries = data.read_labels(labelled)
    learnt, kept = held_out.split(entries)
    assert learnt
    assert kept
    assert sorted(entries, key=str) == sorted([*learnt, *kept], key=str)
    trainer = Trainer(tmp_path, plan(4))
    judge = held_out.HeldOut(kept)
    trainer.run(data.batches(data.Album(learnt), 0, itertools.count(), 4), held_out=judge)
    rows = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert ["held_out_ap" in row for row in rows] == [True, False]
    assert 0 <= rows[0]["held_out_ap"] < 1


def test_precision_is_counted_on_what_is_found():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    picture = data.Picture(np.zeros((20, 60, 3), np.uint8), boxes, np.array([False, False, True]), *[np.zeros(0)] * 2)
    found = np.array([[0, 0, 10, 11], [1, 0, 10, 10], [41, 1, 49, 9], [5, 10, 15, 20]], np.float32)
    scores, right = held_out.judged(found, np.array([0.9, 0.8, 0.7, 0.6]), picture)
    assert scores.tolist() == [0.9, 0.8, 0.6]  # the third lies where nobody knows
    assert right.tolist() == [True, False, False]  # the second is a face found twice


def test_many_scenes_are_drawn_by_several_processes(tmp_path, monkeypatch):
    one = json.loads(scenes.draw(tmp_path / "one", 3).read_text().splitlines()[2])
    monkeypatch.setattr(scenes, "SCENES_A_PROCESS", 2)
    labels = scenes.draw(tmp_path / "many", 4).read_text().splitlines()
    assert json.loads(labels[2]) == one
    assert (tmp_path / "many" / one["file"]).read_bytes() == (tmp_path / "one" / one["file"]).read_bytes()
    assert len(labels) == 4


def test_runs_do_not_overwrite_each_other(tmp_path, labelled):
    train(tmp_path, labelled, plan(1))
    with pytest.raises(TrainingError, match="resume"):
        Trainer(tmp_path, plan(1))
    with pytest.raises(TrainingError, match="no checkpoint to go on from"):
        Trainer(tmp_path / "empty", plan(1), resume=True)


def test_batches_come_from_processes_in_order_and_end_with_the_run(labelled):
    album = data.Album(data.read_labels(labelled))
    stream = parallel_batches(album, 3, 4, 1, workers=2)
    made = [next(stream) for _ in range(3)]
    stream.close()
    for step, batch in enumerate(made, 4):
        assert len(batch.picture) == len(batch.boxes)
        assert batch.y.shape[-1] == (256, 320, 320, 416)[step % 4]  # the sides of a process of its own: not patched


def test_a_dead_batch_process_is_an_error_not_a_wait(labelled):
    entry = data.read_labels(labelled)[0]
    gone = data.Album([data.Entry(entry.file.with_name("gone.png"), 200, 160, entry.faces)])
    with pytest.raises(WorkerError, match="ended with 1"):
        next(parallel_batches(gone, 0, 0, 1))


def test_the_log_says_what_was_lost(tmp_path, labelled, monkeypatch):
    monkeypatch.setattr("engines.train.trainer.LOG_EVERY_STEPS", 2)
    train(tmp_path, labelled, plan(4))
    rows = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(abs(row["total"] - row["score"] - row["box"] - row["landmarks"]) < 1e-3 for row in rows)
    curves = cv2.imread(str(tmp_path / CURVES))
    assert (curves != 255).any(2).mean() > 0.01  # something is drawn


@pytest.mark.parametrize(("run", "expected"), [(Plan(steps=40), 40), (Plan(minutes=1), 40)])
def test_how_far_a_run_is(run, expected):
    assert run.steps_in_all(10, 15.0) == expected


def test_the_rate_warms_up_and_falls_to_its_end():
    rates = [learning_rate(2e-3, step, step / 1000) for step in range(1001)]
    assert rates[0] < rates[75] < max(rates)
    assert rates[200:] == sorted(rates[200:], reverse=True)
    assert abs(rates[-1] / 2e-3 - 0.02) < 1e-6


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(folder, plan(1))
    draw = torch.Generator().manual_seed(3)
    for module in trainer.network.modules():  # statistics that folding must not lose
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=draw) * 0.2)
            module.running_var.copy_(torch.rand(module.num_features, generator=draw) + 0.5)
            module.weight.data.copy_(torch.rand(module.num_features, generator=draw) + 0.5)
    trainer.average.state = trainer.network.state_dict()
    trainer.save()
    return folder / CHECKPOINT


@pytest.fixture(scope="module")
def exported(checkpoint: Path) -> Path:
    out = checkpoint.with_name("face.onnx")
    export.write_onnx(export.load_network(checkpoint), out)
    return out


@pytest.mark.parametrize("shape", [(1, 64, 96), (3, 160, 32)])
def test_the_onnx_file_computes_what_torch_does_at_any_size(checkpoint, exported, shape):
    count, height, width = shape
    rng = np.random.default_rng(5)
    y = rng.integers(0, 256, (count, 1, height, width), np.uint8)
    uv = rng.integers(0, 256, (count, 2, height // 2, width // 2), np.uint8)
    with torch.inference_mode():
        expected = export.load_network(checkpoint)(torch.from_numpy(y), torch.from_numpy(uv))
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["o8", "o16", "o32"]
    for found, wanted, stride in zip(session.run(None, {"y": y, "uv": uv}), expected, (8, 16, 32), strict=True):
        assert found.shape == (count, 15, height // stride, width // stride)
        assert np.abs(found - wanted.numpy()).max() < 1e-3


def test_the_file_says_what_it_is(exported):
    said = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    assert said["family"] == "fancam"
    assert said["task"] == "face"
    assert json.loads(said["names"]) == {"0": "face"}
    assert {"stride", "imgsz", "version"} <= said.keys()


def test_int8_is_smaller_and_near(checkpoint, exported, labelled):
    out = exported.with_name("face_int8.onnx")
    album = data.Album(data.read_labels(labelled))
    export.write_int8(export.load_network(checkpoint), out, album, count=4)
    assert out.stat().st_size < exported.stat().st_size / 2
    y, uv = data.fitted_planes(album.pick(np.random.default_rng(0)), export.CALIBRATION_SIDE_PX)
    found, wanted = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"y": y, "uv": uv})
        for path in (out, exported)
    )
    for a, b in zip(found, wanted, strict=True):
        assert np.abs(a - b).mean() < 0.1 * max(b.std(), 0.1)


def test_an_export_that_differs_from_torch_is_refused(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_trace", lambda *_: onnx.load(exported))  # the file of another network
    with pytest.raises(export.ExportError, match="differs"):
        export.write_onnx(FaceNet().eval(), tmp_path / "face.onnx")
    assert not list(tmp_path.iterdir())


def test_int8_that_is_far_from_f32_is_refused(checkpoint, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_int8_difference", lambda *_: 0.2)
    with pytest.raises(export.ExportError, match="int8 differs"):
        export.write_int8(
            export.load_network(checkpoint), tmp_path / "a.onnx", data.Album(data.read_labels(labelled)), count=2
        )
    assert not list(tmp_path.iterdir())


def test_a_network_without_a_checkpoint(tmp_path):
    with pytest.raises(export.ExportError, match="no checkpoint"):
        export.load_network(tmp_path / "checkpoint.pt")


def test_the_network_starts_as_the_recipe_says():
    torch.manual_seed(0)
    maps = FaceNet().eval()(
        torch.full((1, 1, 64, 64), 90, dtype=torch.uint8), torch.full((1, 2, 32, 32), 128, dtype=torch.uint8)
    )
    assert sum(p.numel() for p in FaceNet().parameters()) < 0.96e6
    for m in maps:
        assert abs(m[:, 0].mean().item() + 4.6) < 0.5
        assert abs(m[:, 1:5].mean().item() - 0.5) < 0.5
