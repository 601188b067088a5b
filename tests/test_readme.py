"""What README and docs/ show is what the program prints; what they tell to type, it takes; what they link to is there.

After a change that is meant, ``python tests/test_readme.py`` writes the shown outputs and the table of models anew.
"""
from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from coral_classify.cli import COMMANDS, main
from coral_classify.modelfiles import passports

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"] + sorted(DOCS.rglob("*.md"))
SHOWN = re.compile(r"(<!-- (output|looks like): coral-classify (.*?) -->\n```\n)(.*?)(```\n)", flags=re.S)
MODELS = re.compile(r"<!-- models -->\n.*?<!-- /models -->", flags=re.S)
NUMBER = re.compile(r"\d+\.\d+")
SOMEWHERE = "/home/you/coral_classify"      # stands in the documents for this checkout


def name_of(path):
    return path.relative_to(REPOSITORY).as_posix()


def read(path):
    return path.read_text(encoding="utf-8")


def each_shown(kind):
    """(page, arguments, what is shown) of every output in the documents, the same ones once."""
    found = {}
    for page in PAGES:
        for _, this, arguments, shown, _ in SHOWN.findall(read(page)):
            if this == kind:
                found.setdefault((arguments, shown), page)
    return [pytest.param(arguments, shown, id="%s: %s" % (name_of(page), arguments))
            for (arguments, shown), page in found.items()]


def printed_by(arguments):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")      # with the buffer that CSV and JSON lines go to
    with contextlib.redirect_stdout(out):
        code = main(shlex.split(arguments))
    out.flush()
    return code, out.buffer.getvalue().decode("utf-8").replace(str(REPOSITORY), SOMEWHERE)


def test_every_marked_output_is_read():
    text = "".join(read(page) for page in PAGES)
    assert len(SHOWN.findall(text)) == len(re.findall("^<!-- (?:output|looks like):", text, flags=re.M))
    assert len(SHOWN.findall(read(REPOSITORY / "README.md"))) >= 2


@pytest.mark.parametrize("arguments, shown", each_shown("output"))
def test_output(arguments, shown, monkeypatch, any_engine):
    monkeypatch.chdir(REPOSITORY)
    code, printed = printed_by(arguments)
    assert code == 0
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", shown).split()
    scores = [[float(n) for n in NUMBER.findall(text.split("model:")[0])] for text in (shown, printed)]
    # Engines round differently: a sure score moves by a step or two of the output's 1/256, one in the middle by some.
    for one, other in zip(*scores):
        assert one == pytest.approx(other, abs=(3 if one > 0.9 else 8) / 256 + 1e-6)     # printed with six decimals


@pytest.mark.parametrize("arguments, shown", each_shown("looks like"))
def test_output_that_differs_from_machine_to_machine_has_the_shown_lines(arguments, shown, monkeypatch, any_engine):
    monkeypatch.chdir(REPOSITORY)
    code, printed = printed_by(arguments)
    assert code == 0
    assert [line.split()[:2] for line in printed.splitlines()] == [line.split()[:2] for line in shown.splitlines()]


def test_the_messages_of_the_troubleshooting_table_are_the_program_s():
    source = "\n".join(read(path) for path in (REPOSITORY / "coral_classify").rglob("*.py"))
    joined = re.sub(r'["\']\s*\n?\s*["\']|%[sdr]', "", source)
    rows = re.findall(r"^\| `(.*?)` \|", read(DOCS / "troubleshooting.md"), flags=re.M)
    assert len(rows) >= 8
    for row in rows:
        for part in row.split("…"):
            assert part.strip() in joined, row


def commands_of(page):
    """Every ``coral-classify …`` that stands in a block of code, without its comment."""
    for block in re.findall(r"(?:^ {4,}.*\n)+|^```\n(?:.*\n)*?```", read(page), flags=re.M):
        for line in block.splitlines():
            for command in line.split(" ; "):
                if re.match(r"\s*coral-classify( |$)", command):
                    yield shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_options_of_each_command_are_known_to_it(page, capsys):
    helps = {}
    for arguments in commands_of(page):
        command = tuple(arguments[:2 if arguments[:1] == ["models"] else 1])
        if arguments[0] not in COMMANDS:
            command = ()
        if command not in helps:
            with pytest.raises(SystemExit) as ended:
                main(list(command) + ["--help"])
            assert ended.value.code == 0, command
            helps[command] = capsys.readouterr().out
        for option in arguments:
            if option.startswith("--"):
                assert re.search(re.escape(option) + r"\b", helps[command]), " ".join(arguments)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_documents_is_python(page):
    for block in re.findall(r"^```python\n(.*?)^```", read(page), flags=re.M | re.S):
        ast.parse(block)


def each_that_runs():
    runs = re.compile(r"^<!-- runs -->\n```python\n(.*?)^```", flags=re.M | re.S)
    return [pytest.param(block, id="%s, %d" % (name_of(page), number))
            for page in PAGES for number, block in enumerate(runs.findall(read(page)))]


@pytest.mark.parametrize("block", each_that_runs())
def test_python_that_is_said_to_run_runs(block, tmp_path, any_engine):
    if "SimulatedDriver" in block and not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("no C compiler to build the simulated libedgetpu with")
    shutil.copy(str(REPOSITORY / "examples" / "astronaut.png"), str(tmp_path / "photo.jpg"))
    printed = subprocess.check_output([sys.executable, "-c", block], cwd=str(tmp_path), universal_newlines=True,
                                      env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))
    assert printed.split() == [word.rstrip(":") for word in re.findall(r"print\(.*\) +# (\S+)", block)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.split("#")[0]).exists(), target


def test_the_readme_can_be_read_in_one_go():
    assert len(read(REPOSITORY / "README.md").splitlines()) <= 150


def test_every_page_stands_in_the_navigation():
    listed = re.findall(r"^ *- (?:[^#:\n]+: )?([\w/-]+\.md)$", read(REPOSITORY / "mkdocs.yml"), flags=re.M)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


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
    return "<!-- models -->\n%s\n<!-- /models -->" % "\n".join(rows)


def test_the_table_of_models_is_the_manifest_s():
    assert model_table() in read(DOCS / "models.md")


def test_the_figures_of_the_package_s_own_model_are_its_card_s():
    card = read(REPOSITORY / "models" / "README.md")
    figures = dict(re.findall(r"^\| ([\w ]+?) \| ([\d.]+) \|$", card, flags=re.M))
    told = re.sub(r"\s+", " ", read(DOCS / "models.md").split("## The package's own model")[1])
    for words, figure in (("its first answer is right for %.0f %%", "top1"),
                          ("among the first five for %.0f %%", "top5"),
                          ("It answers %.0f %% of those photographs surely", "sure"),
                          ("and %.1f %% of these answers are right", "sure precision"),
                          ("it is still sure of %.0f %%", "sure of unseen judged")):
        assert words % (float(figures[figure]) * 100) in told


def write_documents():
    """Outputs and tables as they are today."""
    os.chdir(str(REPOSITORY))
    for page in PAGES:
        text = read(page)
        written = SHOWN.sub(lambda found: found.group(1) + printed_by(found.group(3))[1] + found.group(5), text)
        written = MODELS.sub(lambda found: model_table(), written)
        if written != text:
            Path(page).write_text(written, encoding="utf-8")


if __name__ == "__main__":
    write_documents()
