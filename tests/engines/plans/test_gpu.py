"""The GPU is read through the driver's C functions: here from a library compiled for the test, and said plainly where there is none."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.plans.gpu import Gpu, State, read_gpu, read_state
from engines.plans.store import PlanError
from engines.plans.trt import load_trt

DRIVER = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "?"; }
int cuInit(unsigned flags) { return CUINIT; }
int cuDeviceGet(int *d, int number) { *d = 7; return number; }
int cuDeviceGetPCIBusId(char *s, int n, int d) { strncpy(s, d == 7 ? "0000:1B:00.0" : "", n); return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (void *)(i + 1ULL); return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *s, void **d) {
    *d = (void *)0x123456789abcULL;
    return strcmp(s, "0000:1B:00.0") ? 2 : 0;
}
int nvmlDeviceGetName(void *d, char *s, unsigned n) {
    strncpy(s, d == (void *)0x123456789abcULL ? "NVIDIA H200" : "NVIDIA T400", n);
    return 0;
}
int nvmlSystemGetDriverVersion(char *s, unsigned n) { strncpy(s, "580.65.06", n); return 0; }
int nvmlDeviceGetCudaComputeCapability(void *d, int *a, int *b) { *a = 9; *b = 0; return 0; }
int nvmlDeviceGetMemoryInfo(void *d, memory *m) { m->total = 143771ULL << 20; m->used = 512ULL << 20; return 0; }
int nvmlDeviceGetClockInfo(void *d, int which, unsigned *mhz) { *mhz = which == 1 ? 1980 : 3201; return which > 2; }
"""


@pytest.fixture
def driver(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """NVML and CUDA as one shared library, of a machine whose first GPU by place is not CUDA's; the parameter says what the two inits
    give."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler here")
    source, library = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    nvml, cuda = getattr(request, "param", (0, 0))
    source.write_text(DRIVER.replace("CUINIT", str(cuda)).replace("INIT", str(nvml)))
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def test_the_gpu_that_cuda_takes_as_its_driver_names_it(driver: Path) -> None:
    assert read_gpu(load=lambda name: ctypes.CDLL(str(driver))) == Gpu("NVIDIA H200", "580.65.06", "9.0", 143771)
    assert read_state(load=lambda name: ctypes.CDLL(str(driver))) == State(1980, 3201, 512)


@pytest.mark.parametrize("driver", [(0, 100)], indirect=True)
def test_a_gpu_that_is_not_there(driver: Path) -> None:
    with pytest.raises(PlanError, match=r"the NVIDIA driver shows CUDA no GPU here .error 100.; in a container"):
        read_gpu(load=lambda name: ctypes.CDLL(str(driver)))


@pytest.mark.parametrize("driver", [(18, 0)], indirect=True)
def test_a_driver_that_does_not_answer(driver: Path) -> None:
    with pytest.raises(PlanError, match="nvmlInit_v2 says Driver/library version mismatch"):
        read_gpu(load=lambda name: ctypes.CDLL(str(driver)))


def test_no_driver() -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(PlanError, match="no NVIDIA driver on this machine"):
        read_gpu(load=missing)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("__version__ = '10.12.0'", "TensorRT 10.12.0 is here; Fancam takes 10.13 and later, below 12"),
        ("__version__ = '12.0.1'", "TensorRT 12.0.1 is here"),
        ("raise ImportError('libnvinfer.so.10: cannot open shared object file')", "does not load: libnvinfer.so.10"),
    ],
)
def test_a_library_that_cannot_be_used(
    content: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(PlanError, match=says):
        load_trt()
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
