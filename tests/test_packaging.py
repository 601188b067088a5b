"""What travels: an sdist whose tests run, packages that are found, a version that stands in one place."""
from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY

FOLDERS = (".ci", "benchmarks", "coral_classify", "docs", "examples", "labels", "models", "tests")
MADE_ON_THE_WAY = re.compile(r"__pycache__|\.py[cod]$|\.so\b|(^|/)\.\w+_cache/|^models/training/(runs|cache)/"
                             r"|^benchmarks/latest\.md$")


def read(name):
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def in_sdist(tmp_path_factory):
    """The paths of all files of an sdist."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.check_output([sys.executable, "setup.py", "-q", "egg_info", "-e", str(folder)], cwd=str(REPOSITORY),
                            stderr=subprocess.STDOUT)
    return set((folder / "coral_classify.egg-info" / "SOURCES.txt").read_text(encoding="utf-8").split("\n"))


def test_an_sdist_carries_all_that_its_tests_examples_and_documents_need(in_sdist):
    here = {path.relative_to(REPOSITORY).as_posix() for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*")
            if path.is_file()}
    here |= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "Dockerfile", "mkdocs.yml",
             "pyproject.toml", "setup.py"}
    assert {name for name in here if not MADE_ON_THE_WAY.search(name)} <= in_sdist


def test_an_sdist_carries_nothing_that_was_made_on_the_way(in_sdist):
    assert not [name for name in in_sdist if MADE_ON_THE_WAY.search(name)]


def test_every_room_is_a_package_and_travels(tmp_path):
    pytest.importorskip("setuptools")
    built = tmp_path / "lib"
    subprocess.check_output(
        [sys.executable, "setup.py", "-q", "egg_info", "-e", str(tmp_path), "build", "-b", str(tmp_path / "build"),
         "--build-lib", str(built)], cwd=str(REPOSITORY), stderr=subprocess.STDOUT)
    package = REPOSITORY / "coral_classify"
    wanted = {path.relative_to(REPOSITORY).as_posix() for pattern in ("*.py", "*.c", "py.typed")
              for path in package.rglob(pattern)}
    assert wanted <= {path.relative_to(built).as_posix() for path in built.rglob("*")}


def test_the_version_stands_in_one_place():
    version = re.search(r'__version__ = "(.+?)"', read("coral_classify/__init__.py")).group(1)
    assert not [name for name in ("setup.py", "pyproject.toml", "mkdocs.yml", "Makefile", "Dockerfile", "README.md")
                if version in read(name)]


def test_the_classifiers_name_the_pythons_of_the_readme():
    oldest, newest = re.search(r"Python 3\.(\d+) to 3\.(\d+)", read("README.md")).groups()
    setup = read("setup.py")
    assert 'python_requires=">=3.%s"' % oldest in setup
    assert "range(%s, %d)" % (oldest, int(newest) + 1) in setup
