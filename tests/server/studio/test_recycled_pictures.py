"""A picture that was given back belongs to nobody: whatever is written into it from then on, no viewer sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engines.pipeline
import engines.render.redact
from benchmarks.rig import FRAMES, HEIGHT, WIDTH, Bench, decoded
from engines.codecs.files import VideoFile
from engines.detect.detector import open_detector
from engines.frame import Frame, Picture, PicturePool, RedactedFrame
from engines.offline import Options, process
from engines.pipeline import RedactedFeed
from engines.scene.write import write_scene
from server.link import Flag, Kind, Message

BLOCK_PX, TILE_PX = 8, 64
POISON = np.random.default_rng(1).choice((np.uint8(16), np.uint8(235)), (HEIGHT // BLOCK_PX, WIDTH // BLOCK_PX))
POISON = POISON.repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)
FOUND = 0.7
"""A tile of 64 random blocks correlates with another picture by less."""
FEEDS = {10: "redacted", 11: "overlay", 12: "raw", 13: "redacted"}
VP8 = 13


class Poisoner:
    """A thread that writes into every free picture of every pool, again and again."""

    def __init__(self) -> None:
        self.pools: list[PoisonedPool] = []
        self.given_back = threading.Event()
        self.rounds = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended:
            self.given_back.wait(0.005)
            self.given_back.clear()
            for pool in list(self.pools):
                pool.poison()
            self.rounds += 1

    def wait_for_a_round(self) -> None:
        """Until all that is free now has been written into."""
        after = self.rounds + 2
        while self.rounds < after:
            time.sleep(0.001)

    def end(self) -> None:
        self._ended = True
        self._thread.join()


class PoisonedPool(PicturePool):
    poisoner: Poisoner

    def __init__(self, width: int, height: int) -> None:
        super().__init__(width, height)
        self.poisoner.pools.append(self)

    def give_back(self, picture: Picture) -> None:
        super().give_back(picture)
        self.poisoner.given_back.set()

    def poison(self) -> None:
        with self._lock:
            for picture in self._free:
                picture.y[:] = POISON[: picture.height, : picture.width]


@pytest.fixture
def poisoner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Poisoner]:
    PoisonedPool.poisoner = poisoner = Poisoner()
    for module in (engines.pipeline, engines.render.redact):
        monkeypatch.setattr(module, "PicturePool", PoisonedPool)
    yield poisoner
    poisoner.end()


def poisoned(frame: Frame) -> bool:
    """Whether any part of a picture is of the poison."""
    for top in range(0, frame.height - TILE_PX, TILE_PX):
        for left in range(0, frame.width - TILE_PX, TILE_PX):
            part = np.s_[top : top + TILE_PX, left : left + TILE_PX]
            a, b = frame.y[part].astype(float), POISON[part].astype(float)
            if a.std() > 3 and np.corrcoef(a.ravel(), b.ravel())[0, 1] > FOUND:
                return True
    return False


def pictures(bench: Bench) -> dict[int, list[Frame]]:
    """What viewers of all feeds see while the clip is sent twice."""
    door = bench.start()
    door.open_stream(1)
    for ident, name in FEEDS.items():
        door.open_feed(ident, name, codec="vp8" if ident == VP8 else "h264")
    bench.publish(door)

    def is_picture(message: Message) -> bool:
        return not message.flags & Flag.IS_SLATE

    for ident in FEEDS:
        door.wait(Kind.ENCODED, ident, count=2 * FRAMES // 3, where=is_picture, timeout_s=30)
    return {ident: decoded(door.seen(Kind.ENCODED, ident), "vp8" if ident == VP8 else "h264") for ident in FEEDS}


def test_nothing_of_a_recycled_picture_is_encoded(bench: Bench, poisoner: Poisoner) -> None:
    shown = pictures(bench)
    assert poisoner.rounds > 50
    assert len(poisoner.pools) >= len(FEEDS)
    for ident, frames in shown.items():
        assert not any(map(poisoned, frames)), FEEDS[ident]


@pytest.fixture
def too_early(poisoner: Poisoner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redacted pictures are given back before they are encoded."""
    render = RedactedFeed.render

    def render_and_release(self: RedactedFeed, *given: Any, **named: Any) -> RedactedFrame:
        result = render(self, *given, **named)
        result.release()
        poisoner.wait_for_a_round()
        return result

    monkeypatch.setattr(RedactedFeed, "render", render_and_release)
    monkeypatch.setattr(RedactedFeed, "release", lambda self, result: None)


def test_the_search_finds_pictures_that_are_given_back_too_early(bench: Bench, too_early: None) -> None:
    shown = pictures(bench)
    for ident, name in FEEDS.items():
        found = sum(map(poisoned, shown[ident]))
        assert found >= FRAMES // 3 if name == "redacted" else not found, name


def redacted_file(folder: Path) -> list[Frame]:
    """What `fancam process` makes of a second of the drawn scene; its encoder looks at many pictures ahead."""
    write_scene(folder / "scene.mp4", None, seconds=1, fps=15)
    process(folder / "scene.mp4", folder / "out", open_detector(), Options(fancams=False))
    with VideoFile(folder / "out/redacted.mp4") as video:
        return list(video)


def test_nothing_of_a_recycled_picture_is_in_a_file(tmp_path: Path, poisoner: Poisoner) -> None:
    frames = redacted_file(tmp_path)
    assert len(frames) == 15
    assert not any(map(poisoned, frames))


def test_the_search_finds_it_in_a_file_too(tmp_path: Path, too_early: None) -> None:
    assert sum(map(poisoned, redacted_file(tmp_path))) > 10
