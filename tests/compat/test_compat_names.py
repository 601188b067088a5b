"""Which names programs find, and that nothing is shadowed by accident."""
from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from coral_classify.compat.names import SERVED, installed

ENVIRONMENT = dict(os.environ, PYTHONPATH=str(REPOSITORY))


def python(script, *, path=None, **environment):
    """What a Python process of its own writes, which may have further folders in its path."""
    folders = [str(REPOSITORY)] + ([str(path)] if path else [])
    ran = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=dict(os.environ, PYTHONPATH=os.pathsep.join(folders), **environment),
                         universal_newlines=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split("\n")[0], ran.stderr


def package(folder, name, files):
    for path, text in files.items():
        place = folder / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def test_nothing_is_served_before_install():
    script = ("import coral_classify.compat\ntry: import pycoral.adapters\n"
              "except ImportError: print('nothing')\nelse: print('something')")
    assert python(script)[0] == "nothing"


def test_every_name_can_be_imported_after_install(any_engine):
    script = ("import coral_classify.compat, importlib, sys; coral_classify.compat.install(ours=True)\n"
              "for name in %r: importlib.import_module(name)\n"
              "import pycoral, tflite_runtime.interpreter as t, ai_edge_litert.interpreter as a\n"
              "print(pycoral.__version__, t.Interpreter is a.Interpreter, t.Interpreter.__module__)" % sorted(SERVED))
    assert python(script)[0] == "2.0.0 True coral_classify.compat.interpreter"


def test_an_engine_is_found_behind_ours(any_engine):
    """Programs get our interpreter under the engine's own name, and ours still finds the engine."""
    script = ("import coral_classify.compat; coral_classify.compat.install(ours=True)\n"
              "from %s.interpreter import Interpreter, OpResolverType\n"
              "from tflite_writer import colours\n"
              "i = Interpreter(model_content=colours(), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)\n"
              "i.allocate_tensors(); i.invoke(); print(i.get_tensor(1).shape)" % any_engine.replace("-", "_"))
    assert python(script, path=REPOSITORY / "tests")[0] == "(1, 1, 1, 3)"


def test_an_installed_runtime_wins(any_engine, tmp_path):
    module = any_engine.replace("-", "_")
    script = "from %s.interpreter import Interpreter; print(Interpreter.__module__)" % module
    assert python("import coral_classify.compat; coral_classify.compat.install()\n" + script)[0].startswith(module)
    program = tmp_path / "program.py"
    program.write_text(script)
    command = "from coral_classify.compat.__main__ import main; main([%s%r])"
    told, log = python(command % ("", str(program)))
    assert told.startswith(module) and "is used as it is, without supervision; --ours gives ours" in log
    told, log = python(command % ("'--ours', ", str(program)))
    assert told == "coral_classify.compat.interpreter" and "supervision" not in log


def test_a_runtime_under_another_name_is_ours(any_engine):
    other = "tflite_runtime" if any_engine == "ai-edge-litert" else "ai_edge_litert"
    if installed(other) is not None:
        pytest.skip("both runtimes are installed here")
    script = ("import coral_classify.compat; coral_classify.compat.install()\n"
              "from %s.interpreter import Interpreter; print(Interpreter.__module__)" % other)
    assert python(script)[0] == "coral_classify.compat.interpreter"


def test_the_package_of_the_wrong_name_is_recognised(tmp_path, any_engine):
    package(tmp_path, "pycoral", {"__init__.py": "", "cli.py": ""})
    script = ("import coral_classify.compat; coral_classify.compat.install()\n"
              "import pycoral.utils.edgetpu as e; print(e.make_interpreter.__module__)")
    told, log = python(script, path=tmp_path)
    assert told == "coral_classify.compat.edgetpu_utils"
    assert ("is not Google's: it is the package of that name from the Python Package Index (a command line for the "
            "Allen Coral Atlas); coral_classify's is used") in log


def test_a_pycoral_for_another_python_is_not_used(tmp_path):
    package(tmp_path, "pycoral", {"__init__.py": "", "pybind/_pywrap_coral.cpython-36m-arm-linux-gnueabihf.so": ""})
    found = installed("pycoral", [str(tmp_path)])
    assert not found.usable and "has no native module for this Python" in found.remark


def test_googles_pycoral_wins_where_it_works(tmp_path):
    import importlib.machinery

    import numpy

    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    package(tmp_path, "pycoral", {"__init__.py": "real = 1", "pybind/_pywrap_coral" + suffix: ""})
    old = int(numpy.__version__.split(".")[0]) < 2
    script = ("import coral_classify.compat; coral_classify.compat.install()\n"
              "import pycoral; print(hasattr(pycoral, 'real'))")
    assert python(script, path=tmp_path)[0] == str(old)
    assert python(script.replace("install()", "install(ours=True)"), path=tmp_path)[0] == "False"


def test_uninstall_takes_the_names_back():
    script = ("import coral_classify.compat as c; c.install(); c.install(); import pycoral.adapters; c.uninstall()\n"
              "try: import pycoral\nexcept ImportError: print('gone')\nelse: print('there')")
    assert python(script)[0] == "gone"


def test_the_command_imports_nothing_for_its_help():
    ran = subprocess.run([sys.executable, "-m", "coral_classify.compat", "--help"], env=ENVIRONMENT,
                         stdout=subprocess.PIPE, universal_newlines=True)
    assert ran.returncode == 0 and "--ours" in ran.stdout and "--check" in ran.stdout
