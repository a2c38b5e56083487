"""Sources with the values that PyAV 19 gives, on whatever PyAV there is: AVRational for Fraction, and 0/1 for None."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from av.rational import AVRational

from server.pull.sound import Opus
from server.pull.video import step_of


@dataclass
class SoundPacket:
    data: bytes
    pts: int | None
    time_base: Any

    @property
    def size(self) -> int:
        return len(self.data)

    def __bytes__(self) -> bytes:
        return self.data


@pytest.mark.parametrize(
    ("rate", "step_s"),
    [(AVRational(25, 1), 1 / 25), (AVRational(30000, 1001), 1001 / 30000), (AVRational(0, 1), 1 / 30),
     (AVRational(90000, 1), 1 / 30)],
)  # fmt: skip
def test_the_step_from_picture_to_picture(rate: AVRational, step_s: float) -> None:
    assert step_of(SimpleNamespace(average_rate=rate)) == pytest.approx(step_s)


def test_times_of_sound_that_passes() -> None:
    sound = Opus(SimpleNamespace(codec_context=SimpleNamespace(name="opus")))
    packets = [SoundPacket(b"a", 0, AVRational(1, 48_000)), SoundPacket(b"b", 960, AVRational(1, 48_000))]
    assert [part for packet in packets for part in sound.take(packet)] == [(b"a", 0.0), (b"b", 0.02)]
