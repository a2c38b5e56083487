"""TensorRT's plans while serving: where one does not fit, it is built anew beside the serving, and another runtime serves meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final, Literal

from engines.detect.detector import DEFAULT_LONG_SIDE
from engines.models import default_face_model
from engines.models.networks import Networks
from engines.plans.build import Settings
from engines.plans.child import Building, Order, built_already, order_anew
from engines.plans.gpu import read_gpu
from engines.plans.key import Target, buckets_of
from engines.plans.load import onnx_sha256
from engines.plans.store import NoPlan, PlanError, Store, locked
from engines.plans.trt import load_trt, target_of
from engines.runtimes import BATCHES, RuntimeKind, read_signature, trouble

logger = logging.getLogger(__name__)

BUILDERS_LOCK: Final = ".building"
"""Who holds it builds: of a studio and its spare the second finds what the first has made."""


def runtime_meanwhile() -> RuntimeKind | Literal["auto"]:
    """What serves while a plan is built."""
    return "torch_cuda" if trouble("torch_cuda") is None else "auto"


def models_of(networks: Networks) -> list[Path]:
    """Their files, as a GPU runs them."""
    return [Path(network.path) if network.path else default_face_model() for network in networks.all]


class Plans:
    """`built` is set when all that did not fit have been built. `trt` and `target`: instead of TensorRT and the first GPU."""

    def __init__(self, folder: Path | None = None, trt: ModuleType | None = None, target: Target | None = None) -> None:
        self.built = threading.Event()
        self._folder, self._trt, self._target = folder, trt, target
        self._started = False

    def runtime(self, models: Sequence[Path]) -> RuntimeKind | Literal["auto"]:
        """What shall serve: tensorrt where each of the ONNX files has its plan; else, until they are built, another.

        Raises:
            PlanError: no TensorRT or no GPU here, or a plan is not to be trusted.
        """
        trt = self._trt or load_trt()
        target, store = self._target or target_of(trt, read_gpu()), Store(self._folder)
        lacking: list[Order] = []
        for model in models:
            try:
                store.find(onnx_sha256(model), target)
            except NoPlan as error:
                lacking.append(order_anew(model, target, store, _settings(model), trt.__name__))
                if not self._started:
                    logger.warning(
                        "%s: %s; it is built now, and %s serves until then",
                        model.name, str(error).partition(": fancam ")[0], runtime_meanwhile(),
                    )  # fmt: skip
        if not lacking:
            return "tensorrt"
        if not self._started:
            self._started = True
            threading.Thread(target=self._build, args=(lacking,), name="plans", daemon=True).start()
        return runtime_meanwhile()

    def _build(self, orders: Sequence[Order]) -> None:
        try:
            for order in orders:
                self._build_one(order)
        except (PlanError, OSError) as error:
            logger.error("no plan is built, so %s goes on serving: %s", runtime_meanwhile(), error)
        else:
            self.built.set()

    def _build_one(self, order: Order) -> None:
        with locked(order.folder, BUILDERS_LOCK):
            if built_already(order):
                return
            building = Building(order)
            building.done.wait()
        if building.plan is None:
            raise PlanError(building.error)
        logger.info("%s: its plan was built in %.0f s", order.model.name, building.seconds)


def _settings(model: Path) -> Settings:
    """For a network that has had no plan."""
    said = read_signature(model, "onnxruntime")
    batches = (1,) if said.inputs[0].shape[0] == 1 else BATCHES
    side = None if said.fixed_size else (DEFAULT_LONG_SIDE, DEFAULT_LONG_SIDE)
    return Settings(buckets_of(batches), side)
