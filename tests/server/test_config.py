"""What --print-config prints, read back."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.runtimes import GPU_KINDS, KINDS
from server.config import config_text, toml
from server.settings import Settings, group_of, load_settings

WORDS = st.lists(st.text(), max_size=3).map(tuple)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}", fullmatch=True)
PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(Path)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "host": st.text(),
    "port": st.integers(0, 65535),
    "tokens_file": st.none() | PATHS,
    "allow_host": WORDS,
    "input": st.dictionaries(NAMES, st.text(min_size=1).filter(lambda text: "://" not in text), max_size=3).map(
        lambda inputs: tuple(f"{name}={source}" for name, source in inputs.items())
    ),
    "loop": st.booleans(),
    "allow_private": st.booleans(),
    "model": WORDS,
    "cover": WORDS,
    "cover_heads": st.booleans(),
    "model_folder": st.none() | PATHS,
    "runtime": st.sampled_from(["auto", *KINDS, *GPU_KINDS]),
    "keep_audio": st.booleans(),
    "budget_ms": st.integers(20, 10_000),
    "look_ahead": st.integers(0, 3),
    "fancam_delay": st.integers(0, 8),
    "delay": st.integers(0, 30),
    "max_streams": st.integers(1, 64),
    "max_viewers": st.integers(1, 1024),
    "max_feeds": st.integers(1, 64),
    "udp_ports": st.none() | st.integers(1024, 65526).map(lambda first: f"{first}-{first + 9}"),
    "advertise": st.none() | st.just("203.0.113.7") | st.just("2001:db8::1"),
    "ice_server": st.lists(st.just("stun:a.example") | st.just("stun:[::1]:3478"), max_size=3).map(tuple),
    "log_json": st.booleans(),
    "verbose": st.booleans(),
}
FILES = {"tls_cert", "tls_key", "zones", "redaction"}
"""Files must be there, and hold what they should."""


@given(values=st.fixed_dictionaries({}, optional=VALUES), files=st.booleans())
def test_reading_what_is_printed_gives_the_same_settings(
    values: dict[str, Any], files: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if files:
        file = folder / 'the "1".json'
        file.write_text("[[[0, 0], [1, 0], [1, 1]]]")
        policy = folder / "policy.json"
        policy.write_text('{"style": "mosaic"}')
        values |= {"tls_cert": file, "tls_key": file, "zones": (f"lobby={file}",), "redaction": (f"lobby={policy}",)}
    settings = Settings(**values)
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("fancam.toml").write_text(config_text(settings))
        assert load_settings() == settings
    finally:
        Path("fancam.toml").unlink()
        os.chdir(before)


def test_the_property_above_covers_every_setting_that_holds_no_secret() -> None:
    assert set(VALUES) | FILES | {"token"} == set(Settings.model_fields)


def test_every_setting_is_there_with_its_meaning_and_default() -> None:
    text = config_text(Settings(port=99))
    assert set(tomllib.loads(text)) == set(Settings.model_fields)
    paragraphs = {part.rpartition("\n")[2].split(" = ")[0]: part for part in text.strip().split("\n\n")}
    for key, field in Settings.model_fields.items():
        words = paragraphs[key].replace("\n# ", " ")
        assert str(field.description) in words, key
        assert "Default: " in words, key
    assert "Default: 8080\nport = 99" in text


def test_secrets_are_not_printed_and_their_settings_are_left_out() -> None:
    settings = Settings(
        token=("s3cret", "publish:s3cret"),
        input=("a=rtsp://u:s3cret@cam/1?t=s3cret", "b=rtmp://host/live/s3cret", "c=http://host/path", "d=x.mp4"),
        ice_server=("stun:h", "turn:u:s3cret@h:3478"),
    )
    text = config_text(settings)
    assert "s3cret" not in text
    assert {"token", "input", "ice_server"}.isdisjoint(tomllib.loads(text))
    for shown in ("rtsp://***@cam/1?***", "rtmp://host/***", "c=http://host/path", "d=x.mp4", "turn:***:***@h:3478"):
        assert shown in text


def test_the_documentation_lists_every_setting_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text()
    rows: list[str] = []
    for key, field in Settings.model_fields.items():
        heading = [f"## {group_of(key)}", "", "| Key | Default | What it does |", "| --- | --- | --- |"]
        rows += [] if heading[0] in rows else [*([""] if rows else []), *heading]
        rows.append(f"| `{key}` | `{toml(field.default)}` | {field.description} |")
    table = "\n".join(rows)
    assert table in text, f"docs/configuration.md should hold:\n\n{table}"
