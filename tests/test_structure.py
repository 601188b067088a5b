"""The shape of the package: what imports what, and what an import costs."""
from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import statistics
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from tflite_writer import colours

from coral_classify.errors import CoralClassifyError

PACKAGE = REPOSITORY / "coral_classify"
MODULES = sorted(PACKAGE.rglob("*.py"))
ENGINES = ("ai_edge_litert", "tflite_runtime", "tensorflow")
# The façade and its index; the rest of the root are rooms.
ENTRANCE = ("__init__.py", "__main__.py")


def plan():
    """room -> the rooms that it may use, from the design."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- rooms.*?-->\n(.*?)<!-- /rooms -->", text, re.DOTALL).group(1)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {room.strip("`"): set() if uses == "–" else set(uses.split(", ")) for room, _, uses in rows}


def room_of(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first[:-3] if first.endswith(".py") else first


def imports_of(path):
    """(room, what lies inside or "", line) of each import from this package."""
    here = ("coral_classify",) + path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(here[:len(here) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            found = [base + [alias.name] if len(base) == 1 else base for alias in node.names]
        for parts in found:
            if parts[0] == "coral_classify" and len(parts) > 1:
                yield parts[1], ".".join(parts[2:]), node.lineno


def test_every_room_is_in_the_plan_and_the_plan_has_no_circle():
    there = {room_of(path) for path in MODULES if path.relative_to(PACKAGE).parts[0] not in ENTRANCE}
    rooms = plan()
    assert there == set(rooms)
    lower = set()
    for room, uses in rooms.items():        # the table is read downwards: a room uses those above it in the table
        assert uses <= lower, "%s uses %s, which stands below it" % (room, sorted(uses - lower))
        lower.add(room)


@pytest.mark.parametrize("path", [path for path in MODULES if path.relative_to(PACKAGE).parts[0] not in ENTRANCE],
                         ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_plan_and_go_through_doors(path):
    room, allowed = room_of(path), plan()[room_of(path)]
    for other, inside, line in imports_of(path):
        if other == room or other == "__version__":
            continue
        assert other in allowed, "line %d: %s may not use %s" % (line, room, other)
        assert not inside, "line %d: through the door of %s, not to %s" % (line, other, inside)


def test_a_door_says_what_it_may_use():
    for room, uses in plan().items():
        door = PACKAGE / room / "__init__.py"
        if door.exists() and room != "cli":
            text = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8")))
            assert "May use: " in text, room
            said = text.split("May use: ")[1]
            assert all(re.search(r"\b%s\b" % name, said) for name in uses), "%s: %s" % (room, sorted(uses))


def test_the_modules_of_a_room_do_not_go_in_circles():
    edges = {}
    for path in MODULES:
        if path.name != "__init__.py" and path.parent != PACKAGE:
            here = path.relative_to(PACKAGE).with_suffix("").parts
            for node in ast.parse(path.read_text(encoding="utf-8")).body + _later(path):
                if isinstance(node, ast.ImportFrom) and node.level == 1:
                    names = [node.module] if node.module else [alias.name for alias in node.names]
                    edges.setdefault(here, set()).update(here[:-1] + (name.split(".")[0],) for name in names)

    def visit(module, way):
        assert module not in way, " -> ".join("/".join(m) for m in way + (module,))
        for other in sorted(edges.get(module, ())):
            visit(other, way + (module,))
    for module in sorted(edges):
        visit(module, ())


def _later(path):
    """Imports inside functions."""
    return [node for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(function)
            if isinstance(node, ast.ImportFrom)]


def test_no_command_imports_another():
    from coral_classify.cli import COMMANDS

    commands = set(COMMANDS) | {"classify"}
    for command in commands:
        text = (PACKAGE / "cli" / (command + ".py")).read_text(encoding="utf-8")
        assert not re.findall(r"from \.(?:%s) import" % "|".join(commands), text), command


def test_modules_are_short():
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 350} == {}
    assert statistics.median(lengths.values()) <= 150


def test_the_root_reads_like_a_table_of_contents():
    files = [path for path in PACKAGE.glob("*.py") if path.name not in ENTRANCE]
    assert len(files) <= 12
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
        try:
            module = importlib.import_module(dotted.replace(".__init__", ""))
            assert module.__all__ and not [public for public in module.__all__ if not hasattr(module, public)]
        except CoralClassifyError as exc:       # a room of an extra that is not here says what to install
            assert "pip install 'coral_classify[" in str(exc)
    if not name.startswith("engine"):
        assert not [module for module in imported(tree) if module.split(".")[0] in ENGINES], "the engine room does"
    called = {getattr(node.func, "attr", getattr(node.func, "id", "")) for node in ast.walk(tree)
              if isinstance(node, ast.Call)}
    assert "load_delegate" not in called, "it holds the GIL and hides the reason"
    if not name.startswith("cli"):
        assert not [module for module in imported(tree) if "cli" in module.split(".")] or name == "__main__.py"
        assert "print" not in called or name == os.path.join("supervision", "worker.py"), "a library does not print"


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
    assert "coral_classify/py.typed" in names and "coral_classify/serving/page/index.html" in names
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
