"""A source's own times on one line: from 0, without the jumps of a file that begins again or a camera that sets its clock."""

from __future__ import annotations

from typing import Any, Final

from engines.frame import RTP_CLOCK_HZ

MAX_JUMP_S: Final = 10.0
TICK_S: Final = 1 / RTP_CLOCK_HZ


def time_of(packet: Any) -> float | None:
    """When what a packet holds is shown or heard, in s of the source's clock."""
    return float(packet.pts * packet.time_base) if packet.pts is not None and packet.time_base else None


class Clock:
    """Tells pictures, in the order of showing, and sound their places. All times in s."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self.begin_s = self._next_s = 0.0
        """Where the first picture is."""
        self.last_s = -TICK_S
        """Where the last picture is."""

    def place(self, at_s: float | None, step_s: float) -> float:
        """A picture's place, which rises; `at_s` its own time if it has one, `step_s` the time it is shown."""
        if at_s is None:
            placed_s = self._next_s
        else:
            if self._offset_s is None or not -step_s < at_s + self._offset_s - self.last_s < MAX_JUMP_S:
                self._offset_s = self._next_s - at_s
            placed_s = max(at_s + self._offset_s, self.last_s + TICK_S)
        self.last_s, self._next_s = placed_s, placed_s + step_s
        return placed_s

    def place_sound(self, at_s: float) -> float | None:
        """The place of sound, by the pictures'; None before the first picture is known."""
        return None if self._offset_s is None else at_s + self._offset_s

    def begin_again(self) -> None:
        """What comes next follows the last picture, whatever its own time is."""
        self._offset_s, self.begin_s = None, self._next_s
