"""`fancam serve` as a stranger meets it: its help, its settings and its complaints."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.cli import serve
from server.settings import Settings, group_of

ROOT = Path(__file__).resolve().parents[3]


def fancam_serve(*words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "client.cli.main", "serve", *words], cwd=folder, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **variables},
    )  # fmt: skip


def test_every_setting_has_its_flag_and_there_is_one_more() -> None:
    assert set(inspect.signature(serve.command).parameters) == {*Settings.model_fields, "print_config"}


def test_help_lists_every_flag_under_its_heading(tmp_path: Path) -> None:
    done = fancam_serve("--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    headings: dict[str, str] = {}
    for paragraph in done.stdout.split("\n\n"):
        heading, _, text = paragraph.partition(":\n")
        headings[heading] = text
    for key in Settings.model_fields:
        assert f"--{key.replace('_', '-')}" in headings[group_of(key)]


def test_print_config_is_a_file_that_the_next_start_takes(tmp_path: Path) -> None:
    """Flag, variable and file all end in what is printed, each before the next."""
    (tmp_path / "fancam.toml").write_text("port = 1001\nmax_feeds = 1\nmax_viewers = 1\n")
    first = fancam_serve(
        "--port", "1003", "--input", "a=x.mp4", "--keep-audio", "--print-config", folder=tmp_path,
        FANCAM_PORT="1002", FANCAM_MAX_FEEDS="2", FANCAM_TOKEN="s3cret",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    for line in ("port = 1003", "max_feeds = 2", "max_viewers = 1", 'input = ["a=x.mp4"]', "keep_audio = true"):
        assert line in first.stdout.splitlines()
    assert "s3cret" not in first.stdout
    (tmp_path / "fancam.toml").write_text(first.stdout)
    second = fancam_serve("--print-config", folder=tmp_path, FANCAM_TOKEN="s3cret")
    assert second.stdout == first.stdout


@pytest.mark.parametrize(
    ("words", "variables", "text"),
    [
        (["--udp-ports", "5-6"], {}, "--udp-ports: at least 10 ports"),
        (["--ice-server", "turn:u:s3cret@h:0"], {}, "--ice-server: "),
        ([], {"FANCAM_UDP_PORT": "5"}, "FANCAM_UDP_PORT: no such setting; did you mean FANCAM_UDP_PORTS?"),
        (["--host", "0.0.0.0"], {}, "--token"),
    ],
)
def test_settings_that_cannot_be_are_one_line_and_exit_code_2(
    words: list[str], variables: dict[str, str], text: str, tmp_path: Path
) -> None:
    done = fancam_serve(*words, folder=tmp_path, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith("fancam serve: ")
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "s3cret" not in done.stderr
