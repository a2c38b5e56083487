"""`fancam serve` and `fancam publish` as processes, wherever they are to run."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FANCAM = (sys.executable, "-P", "-m", "client.cli.main")
DEADLINE_S = 60
READY = """
import ssl, sys, time, urllib.error, urllib.request
anyone = ssl.create_default_context()
anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
while True:
    try:
        urllib.request.urlopen(sys.argv[1] + "/readyz", context=anyone)
        break
    except urllib.error.HTTPError:
        time.sleep(0.1)
"""


@contextmanager
def started(*words: str, before: Sequence[str] = (), **environment: str) -> Iterator[str]:
    """A command of Fancam's that goes on, and the first line that it prints; `before` is put before it, `ip netns exec`."""
    process = subprocess.Popen(
        [*before, *FANCAM, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], DEADLINE_S)[0], f"fancam {words[0]} printed nothing"
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


@contextmanager
def serving(*flags: str, before: Sequence[str] = ()) -> Iterator[str]:
    """A server on a free port with a warm studio, and the address that it announces."""
    with started("serve", "--port", "0", *flags, before=before) as line:
        found = re.search(r"https?://\S+", line)
        assert found, f"no address announced: {line!r}"
        subprocess.run([*before, sys.executable, "-c", READY, found[0]], check=True, timeout=DEADLINE_S)
        yield found[0]


def fancam(*words: str, before: Sequence[str] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of Fancam's to its end."""
    return subprocess.run(
        [*before, *FANCAM, *words],
        capture_output=True, text=True, timeout=DEADLINE_S, env={**os.environ, **environment},
    )  # fmt: skip
