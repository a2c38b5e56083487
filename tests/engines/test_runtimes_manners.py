"""The runtimes among others: other threads run meanwhile, and where one is missing the other serves, which is said."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from engines.models import default_face_model
from engines.runtimes import KINDS, RuntimeKind, open_runtime


@pytest.mark.parametrize("kind", KINDS)
def test_other_threads_run_while_the_network_does(kind: RuntimeKind) -> None:
    runtime = open_runtime(default_face_model(), 640, 640, kind=kind)
    runtime.run()
    spans: list[tuple[int, int]] = []

    def work() -> None:
        for _ in range(15):
            started = time.perf_counter_ns()
            runtime.run()
            spans.append((started, time.perf_counter_ns()))

    worker = threading.Thread(target=work)
    stamps = []
    worker.start()
    while worker.is_alive():
        stamps.append(time.perf_counter_ns())
    worker.join()
    seen = np.array(stamps)
    # A held lock would leave the middle of every run without a stamp.
    middles = [(start + (end - start) // 4, end - (end - start) // 4) for start, end in spans]
    assert any(((seen > start) & (seen < end)).any() for start, end in middles)


def test_without_openvino_the_second_runtime_serves_and_it_is_said_once() -> None:
    code = (
        "import sys, json, logging; sys.modules['openvino'] = None\n"
        "logging.basicConfig(format='%(message)s')\n"
        "from engines.detect.detector import open_detector\n"
        "open_detector(); print(json.dumps(open_detector().describe()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["runtime"] == "onnxruntime"
    assert done.stderr.count("openvino cannot be used") == 1
