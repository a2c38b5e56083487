"""The reverse proxy of docs/networks.md, as it stands there, in front of a server on loopback."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.client.clips import write_clip
from tests.networks.serving import DEADLINE_S, fancam, serving, started
from tests.networks.test_tls import write_pair
from tests.ports import free_port

DOCS = Path(__file__).parents[2] / "docs" / "networks.md"
TOKEN = "of-this-test"


@contextmanager
def proxying(folder: Path, cert: Path, key: Path, behind: str) -> Iterator[int]:
    """nginx as the docs have it, but for ports and files; its port."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (Debian and Ubuntu: apt install nginx-light)")
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.S)
    assert found
    text, port = found[1], free_port()
    for theirs, ours in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/ssl/fancam/chain.pem", str(cert)),
        ("/etc/ssl/fancam/key.pem", str(key)),
        ("http://127.0.0.1:8080", behind),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{text}}}\n"
    )
    with subprocess.Popen(["nginx", "-p", str(folder), "-c", str(conf)], stderr=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.terminate()


@contextmanager
def ask(port: int, cert: Path, path: str, **headers: str) -> Iterator[http.client.HTTPResponse]:
    """One request, once the proxy listens."""
    end_s = time.monotonic() + DEADLINE_S
    context = ssl.create_default_context(cafile=cert)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE_S, context=context)
    while True:
        try:
            connection.connect()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < end_s, "nginx does not listen"
            time.sleep(0.05)
    connection.request("GET", path, headers=headers)
    with closing(connection), connection.getresponse() as response:
        yield response


def status(port: int, cert: Path, path: str, **headers: str) -> int:
    with ask(port, cert, path, **headers) as response:
        return response.status


def test_published_watched_and_told_through_the_proxy(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, "proxy")
    clip = write_clip(tmp_path / "clip.mp4", frames=60)
    trust, token = {"SSL_CERT_FILE": str(cert)}, ["--token", TOKEN]
    with (
        serving("--allow-host", "fancam.example", *token) as behind,
        proxying(tmp_path, cert, key, behind) as port,
    ):
        assert status(port, cert, "/healthz", Host="fancam.example") == 200
        assert status(port, cert, "/healthz", Host="other.example") == 421
        assert status(port, cert, "/streams") == 401
        url = f"https://127.0.0.1:{port}"
        with started("publish", str(clip), f"{url}/whip/stage", "--loop", *token, **trust) as line:
            assert line.startswith("publishing "), line
            with ask(port, cert, "/events", Authorization=f"Bearer {TOKEN}") as events:
                assert b"stage" in events.read1()  # at once, though the response has no end
            watched = fancam("watch", f"{url}/whep/stage/raw", "--seconds", "8", "--json", *token, **trust)
            assert watched.returncode == 0, watched.stderr
            assert json.loads(watched.stdout)["frames"] > 80
