"""Fixtures: small models written by the tests, drawn pictures, and the real files where they are at hand."""
from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from tflite_writer import colours

from coral_classify.engine.runtime import ENGINES, load_engine
from coral_classify.errors import EngineNotFound
from coral_classify.testing import build_driver, write_pair

REPOSITORY = Path(__file__).resolve().parent.parent
SIMULATED = REPOSITORY / "coral_classify" / "testing"
# Programs that tests run, as their users wrote them: no modules of ours.
collect_ignore_glob = ["compat/programs/*"]

# A background job of a shell ignores Ctrl-C, and so would all programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no finding: no example is too slow (the default is 200 ms).
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No test reads or writes the user's cache folder, and none is steered by the user's environment."""
    monkeypatch.setenv("CORAL_CLASSIFY_HOME", str(tmp_path / "home"))
    for name in ("CORAL_CLASSIFY_ENGINE", "CORAL_CLASSIFY_LIBEDGETPU", "CORAL_CLASSIFY_COMPAT",
                 "CORAL_CLASSIFY_DEADLINE_MS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def patient_auto(monkeypatch):
    """``auto`` waits for its accelerator, however slow the machine is; tests of the grace set their own."""
    monkeypatch.setattr("coral_classify.placement.opening._GRACE_S", 60.0)


@pytest.fixture
def testdata():
    """The folder of real models and pictures: ``CORAL_CLASSIFY_TESTDATA``, else ``../shared/testdata``."""
    folder = Path(os.environ.get("CORAL_CLASSIFY_TESTDATA") or REPOSITORY.parent / "shared" / "testdata")
    if not folder.is_dir():
        pytest.skip("real models are not here; set CORAL_CLASSIFY_TESTDATA to a folder with models/, labels/, images/")
    return folder


@pytest.fixture(params=ENGINES)
def engine(request):
    """Each engine that is installed here."""
    try:
        return load_engine(request.param).name
    except EngineNotFound as exc:
        pytest.skip(str(exc))


@pytest.fixture
def any_engine():
    try:
        return load_engine().name
    except EngineNotFound as exc:
        pytest.skip(str(exc))


@pytest.fixture
def model(tmp_path):
    """A plain classifier of mean colour: red, green, blue; 8 x 8, uint8, pixels pass unchanged."""
    path = tmp_path / "colours.tflite"
    path.write_bytes(colours(labels=["red", "green", "blue"]))
    return path


@pytest.fixture
def green(tmp_path):
    """A picture that is mostly green, somewhat blue."""
    path = tmp_path / "green.png"
    Image.new("RGB", (16, 16), (0, 200, 100)).save(path)
    return path


@pytest.fixture
def green_pixels():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:] = (0, 200, 100)
    return pixels


@pytest.fixture(scope="session")
def simulated_library(tmp_path_factory):
    try:
        return build_driver(tmp_path_factory.mktemp("simulated") / "libedgetpu.so.1")
    except EngineNotFound as exc:
        pytest.skip(str(exc))


@pytest.fixture(params=["new", "old"])
def simulated(request, simulated_library, monkeypatch):
    """The simulated libedgetpu (coral_classify/testing/edgetpu.c says how to steer it), with new and old structs."""
    monkeypatch.setenv("CORAL_CLASSIFY_LIBEDGETPU", str(simulated_library))
    monkeypatch.setenv("SIM_ABI", request.param)
    monkeypatch.setenv("SIM_PYTHON", sys.executable)
    monkeypatch.setenv("SIM_TWIN_SCRIPT", str(SIMULATED / "twin.py"))
    return simulated_library


@pytest.fixture
def pair(tmp_path):
    """A compiled model of mean colour and its twin; the path of the compiled one."""
    return write_pair(tmp_path)


def heavy(name):
    """The module *name*, which only one Python of CI has: skips without it, and fails where it was promised."""
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        if os.environ.get("CORAL_CLASSIFY_HEAVY") == "1":
            pytest.fail("CORAL_CLASSIFY_HEAVY=1 promises %s: %s" % (name, exc))
        pytest.skip("needs %s: pip install '.[test-heavy]'" % name, allow_module_level=True)


def heavy_program(name):
    """The path of a system's program that only one Python's tests use; see :func:`heavy`."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if path is None and os.environ.get("CORAL_CLASSIFY_HEAVY") == "1":
        pytest.fail("CORAL_CLASSIFY_HEAVY=1 promises %s, which is not installed" % name)
    if path is None:
        pytest.skip("needs %s of the system's packages" % name)
    return path
