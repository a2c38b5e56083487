"""The command in this process."""

from __future__ import annotations

from client.cli.main import main


def run(*words: object) -> int:
    """`fancam …`; its exit code."""
    try:
        main([str(word) for word in words])
    except SystemExit as left:
        return int(left.code or 0)
    return 0
