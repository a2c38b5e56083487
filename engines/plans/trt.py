"""The TensorRT library: which versions, and what a plan is built for with it. The rest of this package takes the module as an argument,
so that the same code builds with TensorRT for RTX, whose Python API is that of TensorRT 11."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Final

from engines.plans.gpu import Gpu
from engines.plans.key import Target
from engines.plans.store import PlanError

LEAST, BELOW = (10, 13), (12,)
EXTRA: Final = "pip install -e '.[tensorrt]' --extra-index-url https://pypi.nvidia.com in the checkout"


def load_trt(name: str = "tensorrt") -> ModuleType:
    """NVIDIA's `tensorrt`, of a version that this code is held to; or, by its name, TensorRT for RTX.

    Raises:
        PlanError: it is not installed, lacks its libraries, or is of another version.
    """
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        raise PlanError(f"{name} is not installed: {EXTRA}") from None
    except (ImportError, OSError) as error:  # the bindings are there, the libraries are not
        raise PlanError(f"{name} does not load: {str(error).splitlines()[0]}") from error
    version = tuple(int(part) for part in module.__version__.split(".")[:2])
    if name == "tensorrt" and not LEAST <= version < BELOW:
        raise PlanError(f"TensorRT {module.__version__} is here; Fancam takes 10.13 and later, below 12: {EXTRA}")
    return module


def target_of(trt: ModuleType, gpu: Gpu | None) -> Target:
    """What plans by this module run on; without a GPU (TensorRT for RTX builds without one) only the library is known."""
    library = f"{trt.__name__.removesuffix('_bindings')} {trt.__version__}"
    return Target(library) if gpu is None else Target(library, gpu.driver, gpu.name, gpu.capability)
