from __future__ import annotations

from pathlib import Path

import pytest

from server.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_flag_goes_before_the_environment_and_that_before_the_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "fancam.toml").write_text(
        'port = 1001\nmax_feeds = 11\nmax_viewers = 21\nallow_host = ["a.example"]\n'
    )
    monkeypatch.setenv("FANCAM_PORT", "1002")
    monkeypatch.setenv("FANCAM_MAX_FEEDS", "12")
    settings = load_settings(port=1003, max_feeds=None, token=())
    assert (settings.port, settings.max_feeds, settings.max_viewers) == (1003, 12, 21)
    assert settings.allow_host == ("a.example",)


def test_lists_in_the_environment_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANCAM_ALLOW_HOST", "a.example, b.example")
    monkeypatch.setenv("FANCAM_TOKEN", "one publish,view-raw:two")
    settings = load_settings()
    assert settings.allow_host == ("a.example", "b.example")
    assert settings.token == ("one", "publish,view-raw:two")


@pytest.mark.parametrize(
    ("text", "names"), [("porto = 1\n", "porto"), ("port = 70000\n", "port"), ("port = \n", "fancam.toml")]
)
def test_a_wrong_file_is_one_line_that_names_what_is_wrong(elsewhere: Path, text: str, names: str) -> None:
    (elsewhere / "fancam.toml").write_text(text)
    with pytest.raises(SettingsError, match=names) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.0.2.7", False), ("example.org", False)],
)  # fmt: skip
def test_only_this_machine_reaches_loopback(host: str, loopback: bool) -> None:
    assert load_settings(host=host).is_loopback is loopback
