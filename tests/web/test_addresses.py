"""Where a server listens, and the secret that others need."""
from __future__ import annotations

import pytest

from coral_classify.errors import UsageError
from coral_classify.web import Address, address, token_for

GOOD = "k3Jx8-aaaa-bbbb-cccc"


@pytest.mark.parametrize("text, expected", [
    ("127.0.0.1:8750", Address("127.0.0.1", 8750)), ("8750", Address("127.0.0.1", 8750)),
    ("[::1]:80", Address("::1", 80)), ("board.local:0", Address("board.local", 0))])
def test_an_address_is_read(text, expected):
    assert address(text) == expected


@pytest.mark.parametrize("text", [
    "", "host", "host:", ":8750", "host:99999", "a b:1", "::1:80", "http://x:1", b"1", 8750, None])
def test_what_is_no_address_is_a_usage_error_that_shows_one(text):
    with pytest.raises(UsageError, match="127.0.0.1:8750"):
        address(text)


@pytest.mark.parametrize("host, local", [
    ("localhost", True), ("127.0.0.5", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("board", False),
    ("192.168.1.4", False)])
def test_local_is_what_only_this_machine_reaches(host, local):
    assert Address(host, 1).is_local is local


def test_an_address_of_ipv6_is_written_with_brackets():
    assert str(Address("::1", 80)) == "[::1]:80"


def test_a_local_server_needs_no_token():
    assert token_for(address("8750")) is None


def test_a_server_that_others_reach_needs_one_and_says_how_to_make_one():
    with pytest.raises(UsageError, match="--token-file.*token_urlsafe"):
        token_for(address("0.0.0.0:8750"))


def test_a_token_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_TOKEN", GOOD + "\n")
    assert token_for(address("0.0.0.0:8750")) == GOOD


def test_a_token_comes_from_a_file_first(tmp_path, monkeypatch):
    monkeypatch.setenv("CORAL_CLASSIFY_TOKEN", GOOD + "-other")
    (tmp_path / "token").write_text(GOOD + "\n")
    assert token_for(address("8750"), str(tmp_path / "token")) == GOOD


@pytest.mark.parametrize("content", [b"", b"short", b"with blanks in the middle", "é".encode() * 20, b"x" * 5000])
def test_what_is_no_secret_is_refused_with_the_files_name(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(UsageError, match="token"):
        token_for(address("8750"), str(tmp_path / "token"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="nosuch"):
        token_for(address("8750"), str(tmp_path / "nosuch"))
