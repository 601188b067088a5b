"""Packaging.  ``models`` and ``labels`` are folders of the top level, and travel inside the package.

The version stands in ``coral_classify/__init__.py`` and nowhere else.  There are no project URLs as long as the project
has no public address.
"""
import pathlib
import platform
import re
import sys

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "coral_classify" / "__init__.py").read_text(encoding="utf-8"))

# One engine per platform, from what its publisher has wheels for.  ai-edge-litert: Python 3.9 and newer on
# 64-bit Linux and on macOS.  tflite-runtime: Python 3.7 and 3.8, and 32-bit ARM up to 3.11; it needs NumPy 1.
_LITERT = ("python_version >= '3.9' and ((platform_system == 'Linux' and (platform_machine == 'x86_64' "
           "or platform_machine == 'aarch64')) or platform_system == 'Darwin' "
           "or (platform_system == 'Windows' and python_version >= '3.10'))")
_ARM32 = "(platform_machine == 'armv8l' or platform_machine == 'armv7l' or platform_machine == 'armv6l')"
_ENGINES = [
    # tflite-runtime was built for NumPy 1 and dies under NumPy 2 at the first Interpreter.
    "numpy>=1.16,<2; python_version < '3.9' or (python_version < '3.12' and %s)" % _ARM32,
    "numpy>=1.16; python_version >= '3.9' and (python_version >= '3.12' or (platform_machine != 'armv8l' and "
    "platform_machine != 'armv7l' and platform_machine != 'armv6l'))",
    "ai-edge-litert>=1.1; " + _LITERT,
    "tflite-runtime>=2.5; python_version < '3.9' and platform_system == 'Linux'",
    "tflite-runtime>=2.5; python_version >= '3.9' and python_version < '3.12' and %s" % _ARM32,
]
_OPTIONS = {}
# A 32-bit system on a 64-bit kernel (Raspberry Pi OS on a Pi 4 or 5): the markers see the kernel, and would ask for
# what it has no wheels of.  Only Python knows; and as no marker can say so, the wheel is one for such systems alone.
_NARROW = {"aarch64": "linux_armv7l", "arm64": "linux_armv7l", "x86_64": "linux_i686"}
if sys.maxsize < 1 << 32 and sys.platform == "linux" and platform.machine() in _NARROW:
    _OPTIONS = {"bdist_wheel": {"plat_name": _NARROW[platform.machine()]}}
    _ENGINES = ["numpy>=1.16"]
    if _NARROW[platform.machine()] == "linux_armv7l":
        _ENGINES = ["numpy>=1.16,<2; python_version < '3.12'", "numpy>=1.16; python_version >= '3.12'",
                    "tflite-runtime>=2.5; python_version < '3.12'"]

setup(
    name="coral_classify",
    version=VERSION.group(1),
    description="Classify pictures on Coral boards: quantized TFLite classifiers on the Edge TPU, "
                "with a fast CPU fallback",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.7",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: End Users/Desktop",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
    ] + ["Programming Language :: Python :: 3.%d" % minor for minor in range(7, 14)] + [
        "Topic :: Multimedia :: Graphics",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    keywords="coral edgetpu tflite image-classification efficientnet raspberry-pi",
    packages=find_packages(include=["coral_classify", "coral_classify.*"])
    + ["coral_classify.models", "coral_classify.labels"],
    package_dir={"coral_classify.models": "models", "coral_classify.labels": "labels"},
    package_data={
        "coral_classify": ["py.typed"],
        "coral_classify.viewing": ["page/*"],
        "coral_classify.serving": ["page/*"],
        "coral_classify.testing": ["*.c"],      # the simulated driver, compiled where it is used
        "coral_classify.models": ["*.json", "*.tflite", "README.md"],
        "coral_classify.labels": ["*.txt", "README.md"],
    },
    install_requires=_ENGINES + [
        "pillow>=7.0",
        "tqdm>=4",      # progress of downloads and of long runs; loaded for these only
    ],
    options=_OPTIONS,
    extras_require={
        # Video through FFmpeg's libraries; its wheels begin with Python 3.8.
        "camera": ["av>=12; python_version >= '3.8'"],
        # A server and its pages: pure Python, but for what asyncio brings.
        "serve": ["starlette>=0.29", "uvicorn>=0.22", "prometheus-client"],
        # Home Assistant and others hear of a camera; pure Python.
        "mqtt": ["paho-mqtt>=1.6"],
        # A cluster; Ray has wheels for recent Pythons on 64-bit machines.
        "ray": ["ray[data]"],
        "test": ["pytest>=7", "hypothesis>=6", "setuptools"],
        # What one Python's tests use for real: a browser's driver, a protocol's client, a fuzzer, a cluster.
        "test-heavy": ["playwright", "schemathesis", "tritonclient[http]", "paho-mqtt>=1.6",
                       "ray[data]"],
        "docs": ["mkdocs>=1.6", "mkdocs-material>=9.6", "mkdocstrings[python]>=0.30", "ruff"],
    },
    entry_points={"console_scripts": ["coral-classify=coral_classify.__main__:main"]},
    zip_safe=False,
)
