"""The shape of the package: what imports what, and what an import costs."""
from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from tflite_writer import colours

PACKAGE = REPOSITORY / "coral_classify"
MODULES = sorted(PACKAGE.rglob("*.py"))
ENGINES = ("ai_edge_litert", "tflite_runtime", "tensorflow")


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = str(path.relative_to(PACKAGE))
    assert ast.get_docstring(tree), "says what it is"
    if name != "__main__.py":
        dotted = ".".join(("coral_classify",) + path.relative_to(PACKAGE).with_suffix("").parts)
        module = importlib.import_module(dotted.replace(".__init__", ""))
        assert module.__all__ and not [public for public in module.__all__ if not hasattr(module, public)]
    if name != "engine.py":
        assert not [module for module in imported(tree) if module.split(".")[0] in ENGINES], "engine.py alone does"
    called = {getattr(node.func, "attr", getattr(node.func, "id", "")) for node in ast.walk(tree)
              if isinstance(node, ast.Call)}
    assert "load_delegate" not in called, "it holds the GIL and hides the reason"
    if not name.startswith("cli"):
        assert not [module for module in imported(tree) if "cli" in module.split(".")] or name == "__main__.py"
        assert "print" not in called or name == "worker.py", "a library does not print"


def test_importing_the_package_loads_no_engine_and_no_pillow():
    script = ("import sys, coral_classify\n"
              "print([m for m in sys.modules if m.split('.')[0] in %r])" % (ENGINES + ("PIL", "multiprocessing"),))
    assert subprocess.check_output([sys.executable, "-c", script], cwd=str(REPOSITORY)).strip() == b"[]"


def test_help_loads_no_numpy():
    script = ("import sys\nfrom coral_classify.cli import main\n"
              "try: main(['--help'])\nexcept SystemExit: pass\nprint('numpy' in sys.modules)")
    assert subprocess.check_output([sys.executable, "-c", script], cwd=str(REPOSITORY)).split()[-1] == b"False"


def test_an_installation_carries_models_and_labels(tmp_path):
    """Installed without the checkout, it classifies with its own model."""
    pytest.importorskip("setuptools")
    built = tmp_path / "installed"
    subprocess.check_output(
        [sys.executable, "setup.py", "-q", "egg_info", "-e", str(tmp_path), "build", "-b", str(tmp_path / "build"),
         "--build-lib", str(built)], cwd=str(REPOSITORY), stderr=subprocess.STDOUT)
    names = [str(path.relative_to(built)) for path in built.rglob("*")]
    assert "coral_classify/py.typed" in names
    assert not [name for name in names if "training" in name or name.startswith("tests")]
    # From a zip, too; its own model cannot be read out of one.
    bundle = shutil.make_archive(str(tmp_path / "bundle"), "zip", str(built))
    (tmp_path / "m.tflite").write_bytes(colours())
    script = ("import coral_classify, sys\nassert coral_classify.__file__.startswith(sys.argv[1])\n"
              "from coral_classify import Classifier\nfrom PIL import Image\n"
              "for supervised in (False, True):\n"
              "    with Classifier(sys.argv[2], device='cpu', supervised=supervised) as c:\n"
              "        print(c.classify(Image.new('RGB', (8, 8), 'red')).predictions[0].class_id)\n"
              "try: Classifier()\nexcept coral_classify.ModelError: print('none')\n")
    answer = subprocess.check_output([sys.executable, "-c", script, bundle, str(tmp_path / "m.tflite")],
                                     cwd=str(tmp_path), env=dict(os.environ, PYTHONPATH=bundle))
    assert answer.split() == [b"0", b"0", b"none"]
    script = ("import coral_classify, sys\nassert coral_classify.__file__.startswith(sys.argv[1])\n"
              "with coral_classify.Classifier() as c: print(c.classify(sys.argv[2]).predictions[0].label)")
    answer = subprocess.check_output(
        [sys.executable, "-c", script, str(built), str(REPOSITORY / "examples" / "astronaut.png")],
        cwd=str(tmp_path), env=dict(os.environ, PYTHONPATH=str(built)), stderr=subprocess.DEVNULL)
    assert answer.split() == [b"face"]
