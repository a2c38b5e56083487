"""`fancam doctor`: what this machine can do, what is missing and how to mend it."""

from __future__ import annotations

import json as jsonlib
import os
import platform
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `needed` ones that are not `ok` keep Fancam from serving."""

    what: str
    ok: bool
    says: str
    mend: str = ""
    needed: bool = True


def command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port that `fancam serve` shall have.")] = 8080,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    findings = [*_machine(), *_codecs(), *_runtimes(), *_models(), *_network(port), *_media(), *_devices()]
    if json:
        print(jsonlib.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            mark = "ok     " if finding.ok else "MISSING" if finding.needed else "no     "
            print(f"{mark} {finding.what}: {finding.says}")
            if finding.mend and not finding.ok:
                print(f"        {finding.mend}")
    broken = [finding for finding in findings if finding.needed and not finding.ok]
    if broken:
        print(f"{len(broken)} things keep Fancam from serving here", file=sys.stderr)
        raise typer.Exit(1)


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("python", (3, 11) <= sys.version_info[:2] <= (3, 13), version, "install Python 3.11, 3.12 or 3.13")
    yield Finding("cores", True, str(os.cpu_count()))
    try:
        import uvloop

        yield Finding("uvloop", True, uvloop.__version__)
    except ImportError:
        yield Finding("uvloop", False, "not installed", "pip install uvloop")


def _codecs() -> Iterator[Finding]:
    import av

    known = av.codecs_available
    for name, what in (
        ("libx264", "H.264 encoder"),
        ("libvpx", "VP8 encoder"),
        ("h264", "H.264 decoder"),
        ("libopus", "Opus"),
    ):
        yield Finding(
            what, name in known, f"{name}, PyAV {av.__version__}", "install PyAV from its wheels: pip install av"
        )


def _runtimes() -> Iterator[Finding]:
    from engines.detect.detector import open_detector
    from engines.disk import sha256_of
    from engines.models import default_face_model
    from engines.runtimes import GPU_KINDS, KINDS, RuntimeFailure, available, trouble

    for kind in KINDS:
        there = kind in available()
        yield Finding(
            f"runtime {kind}", there, "usable" if there else "does not import", f"pip install {kind}", not available()
        )
    for kind in GPU_KINDS:
        why = trouble(kind)
        yield Finding(f"runtime {kind}", why is None, why or "usable", needed=False)
    if trouble("tensorrt") is None:
        yield _plan(default_face_model())
    for precision in ("f32", "int8"):
        path = default_face_model(precision)  # type: ignore[arg-type]
        digest = f", sha256 {sha256_of(path)[:16]}" if path.is_file() else ""
        yield Finding(
            f"face model {precision}",
            path.is_file(),
            path.name + digest,
            "install Fancam again: its wheel holds the models",
        )
    try:
        detector = open_detector()
        detector.warm_up(640, 480)
        says = ", ".join(f"{key} {value}" for key, value in detector.describe().items())
        yield Finding("detector", True, says)
    except RuntimeFailure as error:
        yield Finding("detector", False, str(error))


def _plan(model: Path) -> Finding:
    """Whether `fancam serve --runtime tensorrt` begins with TensorRT."""
    from engines.plans.load import load_plan
    from engines.plans.store import PlanError
    from engines.plans.trt import load_trt
    from server.studio.plans import runtime_meanwhile

    try:
        key = load_plan(load_trt(), model).key
    except PlanError as error:
        mend = f"fancam serve --runtime tensorrt builds it while {runtime_meanwhile()} serves"
        return Finding(f"plan of {model.stem}", False, str(error), mend, needed=False)
    height, width = key.size
    return Finding(f"plan of {model.stem}", True, f"{key.precision}, {width} × {height}")


def _models() -> Iterator[Finding]:
    from client.cli.main import Failure
    from client.cli.models import registry
    from engines.models.onnx_file import BadModel

    try:
        there = registry()
        names = [model.name for model in there.all()]
    except (Failure, BadModel) as error:
        yield Finding("models of one's own", False, str(error), needed=False)
        return
    yield Finding("models of one's own", True, f"{len(names)} in {there.folder}")
    for name in names:
        try:
            model = there.find(name)
            yield Finding(
                f"model {name}", True, f"{model.family}, {len(model.classes)} classes, sha256 {model.sha256[:16]}"
            )
        except BadModel as error:
            yield Finding(f"model {name}", False, str(error), needed=False)


def _network(port: int) -> Iterator[Finding]:
    from server.door import rtp

    try:
        rtp.check()
        yield Finding("aiortc", True, "as tested")
    except rtp.Changed as error:
        yield Finding(
            "aiortc", False, str(error), "install the version that Fancam names: pip install -e . in the checkout"
        )
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            yield Finding(f"port {port}", True, "free")
        except OSError as error:
            says = error.strerror or str(error)
            yield Finding(f"port {port}", False, says, "fancam serve --port takes another", needed=False)


def _media() -> Iterator[Finding]:
    from server.door import rtp
    from server.door.network import Network, NoPort
    from server.settings import SettingsError, load_settings

    try:
        rtp.prepare()
        settings = load_settings()
    except rtp.Changed:  # which `_network` has told of
        return
    except SettingsError as error:
        yield Finding("settings", False, str(error), "`fancam serve --print-config` explains them")
        return
    network = Network(settings.udp_port_range, settings.advertise)
    try:
        sockets = network.bind(rtp.own_addresses())
    except NoPort as error:
        yield Finding("media's UDP ports", False, str(error), "name another range, or end what uses them")
        return
    told = ", ".join(dict.fromkeys(address for address, _ in network.tell(sockets)))
    for sock in sockets:
        sock.close()
    most, ports = settings.max_streams + settings.max_viewers, network.ports
    says = "any that is free, one a session (--udp-ports A-B keeps to a range)"
    if ports is not None:
        says = f"{settings.udp_ports}, {min(most, len(ports))} sessions at a time"
        says += f"; --max-streams and --max-viewers allow {most}" if len(ports) < most else ""
    yield Finding("media's UDP ports", True, says)
    yield Finding("media's addresses", True, told + (" (--advertise)" if network.advertise else ""))


def _devices() -> Iterator[Finding]:
    cameras = sorted(str(path) for path in Path("/dev").glob("video*"))
    yield Finding("webcam", bool(cameras), ", ".join(cameras) or "none on this machine", needed=False)
    gpu = Path("/proc/driver/nvidia/version").exists()
    yield Finding("NVIDIA GPU", gpu, "there" if gpu else "none; detection runs on the CPU", needed=False)
