"""Python runs this at the start of each process of the server under test: it writes down every file that is written to."""

import json
import os
import sys

CHANGES = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.chown",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def _watch(event, arguments, out=os.open(os.environ["AUDIT_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)):
    if event == "open":
        path, _, flags = arguments
        paths = [path] if flags & WRITING else []
    elif event in CHANGES:
        paths = arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]
    else:
        return
    for path in paths:
        if isinstance(path, str | bytes):
            os.write(out, json.dumps(os.path.abspath(os.fsdecode(path))).encode() + b"\n")


sys.addaudithook(_watch)
