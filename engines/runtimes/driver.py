"""What NVIDIA's driver answers, by cuda-bindings; nothing is imported for it."""

from __future__ import annotations

from typing import Any

from engines.runtimes import RuntimeFailure


class CudaFailure(RuntimeFailure):
    """The driver refused; the text says what."""


def checked(answer: tuple[Any, ...]) -> Any:
    """What a call gives beside its error.

    Raises:
        CudaFailure: that is none of success.
    """
    error, *values = answer
    if error.value:
        raise CudaFailure(f"the NVIDIA driver says {error.name}")
    return values[0] if values else None
