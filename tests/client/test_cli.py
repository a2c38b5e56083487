"""The command as a whole: verbs, help, exit codes, and how fast it answers."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from client.cli.main import VERBS


def fancam(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "client.cli.main", *words], capture_output=True, text=True, check=False
    )


def test_the_verbs_are_these() -> None:
    assert sorted(VERBS) == sorted(
        [
            "serve",
            "demo",
            "publish",
            "watch",
            "process",
            "detect",
            "track",
            "models",
            "engines",
            "scene",
            "doctor",
            "dataset",
            "train",
            "export",
            "bench",
        ]
    )


def test_help_lists_every_verb_without_importing_them() -> None:
    started = time.monotonic()
    done = fancam("--help")
    took_s = time.monotonic() - started
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in VERBS)
    assert took_s < 3 * 0.3


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    done = fancam(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert VERBS[verb] in " ".join(done.stdout.split())


def test_a_mistyped_verb_is_a_usage_error_with_a_hint() -> None:
    done = fancam("prosess")
    assert done.returncode == 2
    assert "process" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_words_at_all_is_help() -> None:
    assert "Usage: fancam" in fancam().stdout
