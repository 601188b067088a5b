"""Which engine a machine gets: what setup.py asks pip for, and what the doctor advises, on every board and Python."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from coral_classify.engine.runtimes import advice

# setup.py, as it runs on another machine: what it hands to setuptools.
PRETEND = """\
import json, platform, sys
import setuptools
machine, bits = sys.argv[1:3]
platform.machine = lambda: machine
sys.maxsize = (1 << (int(bits) - 1)) - 1
setuptools.setup = lambda **told: print(json.dumps({name: told.get(name) for name in ("install_requires", "options")}))
__file__ = "setup.py"
exec(compile(open("setup.py", encoding="utf-8").read(), "setup.py", "exec"))
"""


def built(machine, bits):
    pytest.importorskip("setuptools")
    done = subprocess.check_output([sys.executable, "-c", PRETEND, machine, str(bits)], cwd=str(REPOSITORY))
    return json.loads(done.decode())


def installed(told, machine, python):
    """Names and versions that pip would ask for: {"tflite-runtime": ">=2.5", ...}."""
    requirements = pytest.importorskip("packaging.requirements")
    environment = {"platform_machine": machine, "platform_system": "Linux", "python_version": python,
                   "sys_platform": "linux"}
    wanted = [requirements.Requirement(text) for text in told["install_requires"]]
    return {one.name: str(one.specifier) for one in wanted if one.marker is None or one.marker.evaluate(environment)}


@pytest.mark.parametrize("machine, python, engine", [
    ("x86_64", "3.13", "ai-edge-litert"), ("aarch64", "3.11", "ai-edge-litert"), ("aarch64", "3.7", "tflite-runtime"),
    ("armv7l", "3.9", "tflite-runtime"), ("armv8l", "3.11", "tflite-runtime"), ("armv7l", "3.12", None),
    ("armv8l", "3.13", None)])
def test_a_wheel_for_every_machine_brings_each_its_engine(machine, python, engine):
    told = built("x86_64", 64)
    assert not told["options"], "it is one for all"
    wanted = installed(told, machine, python)
    assert [name for name in wanted if name in ("ai-edge-litert", "tflite-runtime")] == ([engine] if engine else [])
    assert ("<2" in wanted["numpy"]) is (engine == "tflite-runtime")


@pytest.mark.parametrize("machine, tag, engine", [
    ("aarch64", "linux_armv7l", "tflite-runtime"), ("x86_64", "linux_i686", None)])
def test_a_32_bit_system_on_a_64_bit_kernel_builds_a_wheel_of_its_own(machine, tag, engine):
    told = built(machine, 32)
    assert told["options"]["bdist_wheel"]["plat_name"] == tag, "no other machine may take it"
    wanted = installed(told, machine, "3.11")
    assert "ai-edge-litert" not in wanted and ("tflite-runtime" in wanted) is (engine is not None)
    assert "tflite-runtime" not in installed(told, machine, "3.12")


def test_such_a_wheel_carries_its_tag_in_its_name(tmp_path):
    pytest.importorskip("wheel")
    program = PRETEND.replace("setuptools.setup = ", "unused = ").replace(
        '__file__ = "setup.py"', '__file__ = "setup.py"; sys.argv[1:] = %r' % (
            ["-q", "egg_info", "-e", str(tmp_path), "build", "-b", str(tmp_path / "build"),
             "bdist_wheel", "-d", str(tmp_path), "-b", str(tmp_path / "b")],))
    subprocess.check_output([sys.executable, "-c", program, "aarch64", "32"], cwd=str(REPOSITORY),
                            stderr=subprocess.STDOUT)
    name, = (path.name for path in tmp_path.glob("*.whl"))
    assert name.endswith("-py3-none-linux_armv7l.whl")


@pytest.mark.parametrize("python, bits, machine, words", [
    ((3, 11), 64, "x86_64", "pip install ai-edge-litert"), ((3, 8), 64, "aarch64", "tflite-runtime"),
    ((3, 11), 32, "armv7l", "pip install 'numpy<2' tflite-runtime"), ((3, 9), 32, "aarch64", "tflite-runtime"),
    ((3, 12), 32, "armv7l", "Python 3.9 to 3.11, or install a 64-bit"), ((3, 11), 32, "i686", "64-bit system image")])
def test_the_advice_is_one_that_the_machine_can_follow(python, bits, machine, words):
    assert words in advice(python, bits, machine)
    assert ("ai-edge-litert" in advice(python, bits, machine)) is (bits == 64 and python >= (3, 9))
