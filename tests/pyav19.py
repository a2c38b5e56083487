"""Files as PyAV 19 gives them, which needs Python 3.12, made from what the PyAV here gives.

Since 18.1 there is AVRational, which reckons as a Fraction does, but is none and cannot be rounded or divided by //; from 19 on
it is what `time_base`, `average_rate` and the like are.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.rational import AVRational


class Stream:
    """A stream of a container as in 19: its ratios are AVRationals, and once the container is closed it tells nothing."""

    def __init__(self, real: Any, container: Container) -> None:
        self.__dict__.update(real=real, container=container)

    def __getattr__(self, name: str) -> Any:
        assert self.container.is_open, "Container is not open"
        value = getattr(self.real, name)
        if name == "sample_aspect_ratio" and value is None:
            return AVRational(0, 1)
        return AVRational(value.numerator, value.denominator) if isinstance(value, Fraction) else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.real, name, value)


class Streams:
    def __init__(self, real: Any, container: Container) -> None:
        self.video = [Stream(stream, container) for stream in real.video]
        self.audio = [Stream(stream, container) for stream in real.audio]


class Container:
    """An input container as in 19."""

    def __init__(self, real: Any) -> None:
        self.real, self.is_open = real, True
        self.streams = Streams(real.streams, self)

    def __getattr__(self, name: str) -> Any:
        assert self.is_open, "Container is not open"
        return getattr(self.real, name)

    def demux(self, stream: Stream) -> Any:
        assert self.is_open, "Container is not open"
        return self.real.demux(stream.real)

    def close(self) -> None:
        self.is_open = False
        self.real.close()
