"""Another Python like this one executes what this one would, wherever it is started and whatever lies there."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from coral_classify.processes import another_python

pytestmark = pytest.mark.skipif(os.name != "posix", reason="workers need POSIX processes")
# What Python imports by itself, what our processes import first, and what an engine does.
TRAPS = ("sitecustomize", "usercustomize", "json", "os", "socket", "importlib", "numpy", "ctypes", "coral_classify",
         "array", "encodings", "re")


@pytest.fixture
def trapped(tmp_path):
    """A folder in which every module that may be imported by mistake leaves a mark."""
    folder = tmp_path / "trapped"
    folder.mkdir()
    for name in TRAPS:
        (folder / (name + ".py")).write_text("open(%r, 'a').write(%r)\n" % (str(tmp_path / "marks"), name + "\n"))
    return folder


def marks(tmp_path):
    path = tmp_path / "marks"
    return path.read_text().split() if path.exists() else []


PROGRAM = """\
import os, sys
here, model, trapped = sys.argv[1:4]
sys.path[0:1] = {path}
from coral_classify import Classifier
import numpy

def classified():
    with Classifier(model, device="usb", on_device_loss="raise") as classifier:
        return classifier.classify(numpy.zeros((8, 8, 3), numpy.uint8)).device

remembered = os.environ["CORAL_CLASSIFY_HOME"] + "/pairings.json"
classified()    # this process has imported all that it needs
if os.path.exists(remembered):
    os.remove(remembered)
os.chdir(trapped)
print(classified())
"""


@pytest.mark.parametrize("trial", [False, True])
@pytest.mark.parametrize("path, variable", [
    ("[here]", "{here}:"), ("[here]", ":{here}"), ("[here]", "{here}:."), ("[here]", "relative:{here}"),
    ("['', here]", ""), ("['.', here]", ""), ("[here, 'relative', '']", "{here}")])
def test_worker_and_trial_execute_nothing_of_the_folder_that_the_program_moved_to(
        path, variable, trial, trapped, pair, any_engine, simulated_library, tmp_path):
    os.symlink(str(trapped), str(trapped / "relative"))
    start = tmp_path / "start"
    start.mkdir()
    environment = dict(os.environ, CORAL_CLASSIFY_LIBEDGETPU=str(simulated_library),
                       PYTHONPATH=variable.format(here=REPOSITORY), SIM_RUNTIME="13" if trial else "14")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(path=path), str(REPOSITORY), str(pair),
         str(trapped)], cwd=str(start), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"usb:0\n"), done.stderr.decode()
    assert not marks(tmp_path)
    assert (tmp_path / "home" / "pairings.json").exists() is trial or sys.maxsize < 1 << 32


def test_it_has_our_modules_and_our_version_of_the_package(tmp_path, monkeypatch):
    other = tmp_path / "older"
    (other / "coral_classify").mkdir(parents=True)
    (other / "coral_classify" / "__init__.py").write_text("raise SystemExit('another version')")
    (other / "own_module.py").write_text("word = 'found'")
    monkeypatch.setattr(sys, "path", [str(other)] + sys.path)
    command, environment = another_python(
        "import coral_classify, own_module; print(coral_classify.__file__, own_module.word, sys.argv[1:])", "a", "b")
    said = subprocess.check_output(command, env=environment, cwd=str(tmp_path)).decode()
    assert said.split() == [str(REPOSITORY / "coral_classify" / "__init__.py"), "found", "['a',", "'b']"]


@pytest.mark.parametrize("entry", ["libraries", "./libraries", "."])
def test_a_relative_folder_of_the_path_is_the_one_that_it_was(entry, tmp_path):
    """The program moves on; its worker still finds the modules that the program was started with."""
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    for folder, word in ((start, "right"), (elsewhere, "wrong")):
        (folder / "libraries").mkdir(parents=True)
        for place in (folder, folder / "libraries"):
            (place / "own_module.py").write_text("word = %r" % word)
    script = ("import os, subprocess, sys\nsys.path[:0] = [%r, %r, '']\n"
              "from coral_classify.processes import another_python\n"
              "os.chdir(%r)\nsys.path.append('libraries/..')\n"
              "command, environment = another_python('import own_module; print(own_module.word, sys.path)')\n"
              "print(subprocess.check_output(command, env=environment).decode())"
              % (str(REPOSITORY), entry, str(elsewhere)))
    done = subprocess.run([sys.executable, "-c", script], cwd=str(start), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.stdout.startswith(b"right"), done.stderr.decode()
    assert b"elsewhere" not in done.stdout and b"''" not in done.stdout


def test_it_starts_in_a_folder_that_was_deleted(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = ("import os, subprocess, sys\nsys.path.insert(1, %r)\n"
              "from coral_classify.processes import another_python\n"
              "os.rmdir(os.getcwd())\ncommand, environment = another_python('print(\"alive\")')\n"
              "print(subprocess.check_output(command, env=environment).decode().strip())" % str(REPOSITORY))
    done = subprocess.run([sys.executable, "-c", script], cwd=str(gone), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout == b"alive\n", done.stderr.decode()


def test_a_python_that_was_moved_is_told_where_its_library_is(monkeypatch):
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    monkeypatch.setenv("PYTHONPATH", "relative")
    monkeypatch.setenv("PYTHONSTARTUP", "x.py")
    command, environment = another_python("pass")
    assert "-I" not in command and "-s" in command
    assert {name for name in environment if name.startswith("PYTHON")} == {"PYTHONHOME"}
    monkeypatch.delenv("PYTHONHOME")
    assert "-I" in another_python("pass")[0]
