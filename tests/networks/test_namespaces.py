"""A client and a server on networks of their own, with nothing between them but a router that forwards no packet.

Each network is a Linux network namespace: what gets through does so by what is tested, for there is no other way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.client.clips import write_clip
from tests.networks.serving import DEADLINE_S, fancam, serving, started

CLIENT, ROUTER_OUTSIDE, ROUTER_INSIDE, SERVER = "10.90.1.2", "10.90.1.1", "10.90.2.1", "10.90.2.2"
PORTS, TOKEN = "50000-50019", "of-this-test"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=DEADLINE_S)


@pytest.fixture
def networks() -> Iterator[dict[str, list[str]]]:
    """What to put before a command to run it on the client's, the router's and the server's machine."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    mark = f"fc{os.getpid() % 10000}"
    names = {role: f"{mark}{role[0]}" for role in ("client", "router", "server")}
    with ExitStack() as stack:
        for name in names.values():
            try:
                ip("netns", "add", name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
            stack.callback(ip, "netns", "delete", name)
            ip("-n", name, "link", "set", "lo", "up")
        for role, own, other in (("client", CLIENT, ROUTER_OUTSIDE), ("server", SERVER, ROUTER_INSIDE)):
            ends = f"{names[role]}0", f"{names[role]}1"
            ip("link", "add", ends[0], "netns", names[role], "type", "veth", "peer", ends[1], "netns", names["router"])
            for name, end, address in ((names[role], ends[0], own), (names["router"], ends[1], other)):
                ip("-n", name, "address", "add", f"{address}/24", "dev", end)
                ip("-n", name, "link", "set", end, "up")
        yield {role: ["ip", "netns", "exec", name] for role, name in names.items()}


@contextmanager
def routing(before: list[str], *words: str) -> Iterator[None]:
    """The router's port mapping."""
    command = [*before, sys.executable, "-m", "benchmarks.wire", ROUTER_OUTSIDE, SERVER, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            yield
        finally:
            process.terminate()


@contextmanager
def turn_server(before: list[str], folder: Path) -> Iterator[None]:
    """coturn on the router, which relays to both sides."""
    if shutil.which("turnserver") is None:
        pytest.skip("coturn is not installed (Debian and Ubuntu: apt install coturn)")
    log = folder / "turn.log"
    words = ["-n", "--no-cli", "--no-tls", "--no-dtls", "--lt-cred-mech", "--user=venue:secret", "--realm=fancam"]
    words += [f"--listening-ip={ROUTER_OUTSIDE}", f"--relay-ip={ROUTER_INSIDE}", f"--log-file={log}", "--simple-log"]
    with subprocess.Popen([*before, "turnserver", *words, f"--pidfile={folder}/turn.pid"]) as process:
        try:
            end_s = time.monotonic() + DEADLINE_S
            while subprocess.run([*before, sys.executable, "-c", TRY_PORT], check=False).returncode:
                assert time.monotonic() < end_s, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


TRY_PORT = f"import socket; socket.create_connection(({ROUTER_OUTSIDE!r}, 3478), 1)"


def publish_and_watch(client: list[str], url: str, clip: Path) -> None:
    stage = f"{url}/whip/stage"
    with started("publish", str(clip), stage, "--loop", "--token", TOKEN, before=client) as line:
        assert line.startswith("publishing "), line
        watch = ["watch", f"{url}/whep/stage/raw", "--seconds", "8", "--json", "--token", TOKEN]
        watched = fancam(*watch, before=client)
        assert watched.returncode == 0, watched.stderr
        assert json.loads(watched.stdout)["frames"] > 80


def test_media_through_mapped_ports(networks: dict[str, list[str]], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60)
    flags = ["--host", SERVER, "--token", TOKEN, "--allow-host", ROUTER_OUTSIDE]
    flags += ["--udp-ports", PORTS, "--advertise", ROUTER_OUTSIDE]
    with serving(*flags, before=networks["server"]) as url:
        port = url.rpartition(":")[2]
        with routing(networks["router"], "--udp", PORTS, "--tcp", port):
            publish_and_watch(networks["client"], f"http://{ROUTER_OUTSIDE}:{port}", clip)


def test_media_through_a_turn_server(networks: dict[str, list[str]], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60)
    flags = ["--host", SERVER, "--token", TOKEN, "--allow-host", ROUTER_OUTSIDE]
    flags += ["--ice-server", f"turn:venue:secret@{ROUTER_OUTSIDE}?transport=udp"]
    with serving(*flags, before=networks["server"]) as url, turn_server(networks["router"], tmp_path):
        port = url.rpartition(":")[2]
        with routing(networks["router"], "--tcp", port):
            publish_and_watch(networks["client"], f"http://{ROUTER_OUTSIDE}:{port}", clip)


@pytest.mark.slow
def test_without_either_the_client_says_that_no_media_comes(networks: dict[str, list[str]], tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=60)
    flags = ["--host", SERVER, "--token", TOKEN, "--allow-host", ROUTER_OUTSIDE]
    with serving(*flags, before=networks["server"]) as url:
        port = url.rpartition(":")[2]
        with routing(networks["router"], "--tcp", port):
            stage = f"http://{ROUTER_OUTSIDE}:{port}/whip/stage"
            with started("publish", str(clip), stage, "--token", TOKEN, before=networks["client"]) as line:
                assert line.startswith("no media connection came about"), line
