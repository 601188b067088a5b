"""What the README prints is what the program prints."""
from __future__ import annotations

import re
import shlex

import pytest
from conftest import REPOSITORY

from coral_classify.cli import main
from coral_classify.modelfiles import passports

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"<!-- output: coral-classify (.*?) -->\n```\n(.*?)```\n", README, flags=re.S)
NUMBER = re.compile(r"\d+\.\d+")


def test_the_readme_shows_output():
    assert len(SHOWN) == README.count("<!-- output:") >= 2


@pytest.mark.parametrize("arguments, shown", SHOWN, ids=[arguments for arguments, _ in SHOWN])
def test_output(arguments, shown, capsys, monkeypatch, any_engine):
    monkeypatch.chdir(REPOSITORY)
    assert main(shlex.split(arguments)) == 0
    printed = capsys.readouterr().out
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", shown).split()
    scores = [[float(n) for n in NUMBER.findall(text.split("model:")[0])] for text in (shown, printed)]
    # Engines differ by a step or two of the output's 1/256.
    assert scores[0] == pytest.approx(scores[1], abs=3 / 256)


def test_the_messages_of_the_troubleshooting_table_are_the_program_s():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "coral_classify").rglob("*.py"))
    joined = re.sub(r'["\']\s*\n?\s*["\']|%[sdr]', "", source)
    rows = re.findall(r"^\| `(.*?)` \|", README.split("## Troubleshooting")[1], flags=re.M)
    assert len(rows) >= 8
    for row in rows:
        for part in row.split("…"):
            assert part.strip() in joined, row


def model_table():
    rows = ["| name | classes | input | top-1 % float / quantized | ms USB / Dev Board | labels |",
            "|---|---|---|---|---|---|"]
    for passport in passports.known():
        if passport.kind == "classification" and passport.name != passports.embedded_name():
            accuracy, latency = passport.accuracy or {}, passport.latency_ms or {}
            rows.append("| %s | %d | %d | %s | %s | %s |" % (
                passport.name, passport.classes, passport.input_size,
                "%.1f / %.1f" % (accuracy["top1_float"], accuracy["top1_quantized"]) if accuracy else "",
                "%g / %g" % (latency["usb_accelerator"], latency["dev_board"]) if latency else "", passport.labels))
    return "\n".join(rows)


def test_the_table_of_models_is_the_manifest_s():
    """Call ``write_models`` to write it anew."""
    assert "<!-- models -->\n%s\n<!-- /models -->" % model_table() in README


def write_models():
    text = re.sub(r"<!-- models -->\n.*?<!-- /models -->", lambda found: "<!-- models -->\n%s\n<!-- /models -->"
                  % model_table(), README, flags=re.S)
    (REPOSITORY / "README.md").write_text(text, encoding="utf-8")
