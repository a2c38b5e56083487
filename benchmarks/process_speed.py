"""How fast is `fancam process` beside deface and a MediaPipe script, on the same clip in the same run?

`fancam bench process-speed CLIP --peers DIR` runs the three by turns and prints CPU seconds and wall seconds a frame; DIR is an
environment made with `python3.11 -m venv DIR && DIR/bin/pip install -r benchmarks/peers/requirements.txt`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import av
import typer

from benchmarks.report import write_result
from engines.offline import Options

HERE = Path(__file__).parent


def timed(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of a command and its children, which must succeed."""
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command[0]} failed: {errors.decode(errors='replace')[-500:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - started


def count_frames(clip: Path) -> int:
    with av.open(str(clip)) as box:
        return sum(1 for packet in box.demux(video=0) if packet.size)


def command(
    clip: Annotated[Path, typer.Argument(help="A 640x480 clip.", exists=True, dir_okay=False)],
    peers: Annotated[Path, typer.Option(help="The peers' environment (see benchmarks/peers/requirements.txt).")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the three by turns.")] = 3,
) -> None:
    frames = count_frames(clip)
    settings = Options()  # both encode with what `fancam process` takes
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        commands = {
            "fancam": [
                sys.executable,
                "-m",
                "client.cli.main",
                "process",
                str(clip),
                "--out",
                f"{out}/f",
                "--no-fancams",
            ],
            "mediapipe": [
                f"{peers}/bin/python",
                str(HERE / "peers/mediapipe_blur.py"),
                str(clip),
                f"{out}/m.mp4",
                settings.x264_preset,
                str(settings.crf),
            ],
            "deface": [f"{peers}/bin/deface", str(clip), "--output", f"{out}/d.mp4"],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for turn in range(rounds):
            for name, words in commands.items():
                runs[name].append(timed(words))
                print(
                    f"round {turn + 1} {name}: {runs[name][-1][0]:.1f} s CPU, {runs[name][-1][1]:.1f} s wall",
                    flush=True,
                )
    cpu = {name: statistics.median(r[0] for r in runs[name]) for name in commands}
    wall = {name: statistics.median(r[1] for r in runs[name]) for name in commands}
    print(f"\n{clip.name}, {frames} frames, medians of {rounds}")
    for name in commands:
        print(f"{name:>10}: {1e3 * cpu[name] / frames:6.2f} ms CPU a frame, {frames / wall[name]:6.1f} frames/s")
    times = {name: cpu[name] / cpu["fancam"] for name in ("mediapipe", "deface")}
    print(f"by CPU Fancam is {times['deface']:.1f}x deface (aim 20) and {times['mediapipe']:.2f}x MediaPipe (aim 2)")
    write_result(
        "process_speed",
        {"clip": clip.name, "frames": frames, "runs": runs, "cpu_s": cpu, "wall_s": wall, "times": times},
    )
