"""What --check says of a program, and what --cure lends it."""
from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

from coral_classify.compat import gone
from coral_classify.compat.check import check

PILLOW_10 = not hasattr(Image, "ANTIALIAS")


def written(folder, text, name="program.py"):
    path = folder / name
    path.write_text(text)
    return str(path)


def compat(*arguments, cwd=None):
    return subprocess.run([sys.executable, "-m", "coral_classify.compat"] + list(arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, cwd=cwd and str(cwd),
                          env=dict(os.environ, PYTHONPATH=str(REPOSITORY)))


def texts(path):
    return {(remark.line, remark.text.split("; ")[0], remark.stops) for remark in check(path)}


def test_names_that_we_have_and_names_that_nobody_has(tmp_path):
    path = written(tmp_path, "from pycoral.adapters import classify\nimport pycoral.utils.edgetpu as e\n"
                             "from pycoral.utils.edgetpu import make_interpreter, fly\n"
                             "from pycoral.adapters import sing\n")
    assert texts(path) == {
        (1, "pycoral.adapters.classify: coral_classify.compat has it", False),
        (2, "pycoral.utils.edgetpu: coral_classify.compat has it", False),
        (3, "pycoral.utils.edgetpu.fly: not among what coral_classify.compat has", True),
        (4, "pycoral.adapters.sing: not among what coral_classify.compat has", True)}


@pytest.mark.skipif(not PILLOW_10, reason="this Pillow still has the old names")
def test_old_pillow_names_are_found_by_line_with_their_mend(tmp_path):
    path = written(tmp_path, "from PIL import Image, ImageDraw\nimport PIL.Image as I\n"
                             "a = Image.ANTIALIAS\nb = I.CUBIC\nImageDraw.Draw(c).textsize('x')\nd = Image.NEAREST\n")
    found = [(remark.line, remark.text) for remark in check(path) if remark.stops]
    assert found == [
        (3, "PIL.Image.ANTIALIAS is gone; write Image.LANCZOS, or run with --cure"),
        (4, "PIL.Image.CUBIC is gone; write Image.BICUBIC, or run with --cure"),
        (5, "textsize() is gone since Pillow 10; write draw.textbbox((0, 0), text, font=font)[2:], or run with --cure")]


def test_old_names_of_numpy_and_python(tmp_path):
    path = written(tmp_path, "import numpy as np\nimport numpy\nimport collections\nx = np.float32(1)\n"
                             "y = np.float(1)\nz = numpy.bool\nw = collections.Mapping\nfrom time import clock\n")
    found = {remark.line: remark.text for remark in check(path) if remark.stops}
    expected = {}
    if not hasattr(np, "long"):     # NumPy 2 has np.bool again
        expected[5] = "numpy.float is gone; write float, or run with --cure"
    if gone.is_gone("numpy", "float"):
        expected[5] = "numpy.float is gone; write float, or run with --cure"
    else:
        expected.pop(5, None)
    if gone.is_gone("numpy", "bool"):
        expected[6] = "numpy.bool is gone; write bool, or run with --cure"
    if sys.version_info >= (3, 10):
        expected[7] = "collections.Mapping is gone; write collections.abc.Mapping"
    if sys.version_info >= (3, 8):
        expected[8] = "time.clock is gone; write time.perf_counter"
    assert found == expected


def test_what_the_program_itself_provides_for_does_not_stop_it(tmp_path):
    path = written(tmp_path, "from PIL import Image\ntry:\n    import no_such_module_here\nexcept ImportError:\n"
                             "    pass\nf = Image.ANTIALIAS if hasattr(Image, 'ANTIALIAS') else Image.LANCZOS\n")
    assert not [remark for remark in check(path) if remark.stops]


def test_missing_modules_are_named_and_those_beside_the_program_looked_through(tmp_path):
    written(tmp_path, "import no_such_module_here\n", "beside.py")
    path = written(tmp_path, "import os\nimport beside\n")
    (remark,) = check(path)
    assert remark.path.endswith("beside.py") and remark.text == "the module no_such_module_here is not installed"


def test_a_program_for_python_2_is_no_program(tmp_path):
    (remark,) = check(written(tmp_path, "import os\nprint 'hello'\n"))
    assert remark.line == 2 and "is no Python" in remark.text and "2to3" in remark.text


def test_the_command_tells_by_its_exit_code(tmp_path):
    good, bad = written(tmp_path, "import os\n"), written(tmp_path, "import no_such_module_here\n", "bad.py")
    assert compat("--check", good).returncode == 0
    ran = compat("--check", bad)
    assert ran.returncode == 1
    assert ran.stdout == "%s:1: STOPS: the module no_such_module_here is not installed\n1 thing will stop it\n" % bad
    ran = compat("--check", str(tmp_path / "nowhere.py"))
    assert ran.returncode == 2 and "no such program" in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.skipif(not PILLOW_10, reason="this Pillow still has the old names")
def test_a_program_that_dies_of_an_old_name_is_told_so_and_cured(tmp_path):
    path = written(tmp_path, "from PIL import Image, ImageDraw, ImageFont\nimport numpy as np\n"
                             "i = Image.new('RGB', (9, 9)).resize((4, 4), Image.ANTIALIAS)\n"
                             "d = ImageDraw.Draw(i).textsize('abc'); f = ImageFont.load_default().getsize('abc')\n"
                             "print(i.size, len(d), len(f), np.float(2))\n")
    ran = compat(path)
    assert ran.returncode == 1 and "line 3" in ran.stderr and "coral_classify/compat" not in ran.stderr
    assert ran.stderr.endswith("coral_classify: PIL.Image.ANTIALIAS is gone from the library that is installed; write "
                               "Image.LANCZOS, or run the program with --cure\n")
    ran = compat("--cure", path)
    assert (ran.returncode, ran.stdout) == (0, "(4, 4) 2 2 2.0\n"), ran.stderr


def test_a_program_runs_as_python_would_run_it(tmp_path):
    written(tmp_path, "NAME = 'beside'\n", "beside.py")
    path = written(tmp_path, "import sys, beside, atexit\n"
                             "print(__name__, __file__ == sys.argv[0], sys.argv[1:], beside.NAME)\n"
                             "atexit.register(lambda: print('bye', beside.NAME))\nsys.exit(3)\n")
    ran = compat(path, "--ours", "-m", "x")
    assert ran.returncode == 3, ran.stderr
    assert ran.stdout.split("\n")[:2] == ["__main__ True ['--ours', '-m', 'x'] beside", "bye beside"]
    ran = compat("-m", "program", "y", cwd=tmp_path)
    assert ran.returncode == 3 and "['y'] beside" in ran.stdout, ran.stderr
