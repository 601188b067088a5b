"""Packaging.  ``models`` and ``labels`` are folders of the top level, and travel inside the package."""
import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "coral_classify" / "__init__.py").read_text(encoding="utf-8"))

# One engine per platform, from what its publisher has wheels for.  ai-edge-litert: Python 3.9 and newer on
# 64-bit Linux and on macOS.  tflite-runtime: Python 3.7 and 3.8, and 32-bit ARM up to 3.11; it needs NumPy 1.
_LITERT = ("python_version >= '3.9' and ((platform_system == 'Linux' and (platform_machine == 'x86_64' "
           "or platform_machine == 'aarch64')) or platform_system == 'Darwin' "
           "or (platform_system == 'Windows' and python_version >= '3.10'))")
_ARM32 = "platform_machine == 'armv7l' or platform_machine == 'armv6l'"

setup(
    name="coral_classify",
    version=VERSION.group(1),
    description="Classify pictures on Coral boards: quantized TFLite classifiers on the Edge TPU, "
                "with a fast CPU fallback",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.7",
    packages=find_packages(include=["coral_classify", "coral_classify.*"])
    + ["coral_classify.models", "coral_classify.labels"],
    package_dir={"coral_classify.models": "models", "coral_classify.labels": "labels"},
    package_data={
        "coral_classify": ["py.typed"],
        "coral_classify.testing": ["*.c"],
        "coral_classify.models": ["*.json", "*.tflite", "README.md"],
        "coral_classify.labels": ["*.txt", "README.md"],
    },
    install_requires=[
        # tflite-runtime was built for NumPy 1 and dies under NumPy 2 at the first Interpreter.
        "numpy>=1.16,<2; python_version < '3.9' or " + _ARM32,
        "numpy>=1.16; python_version >= '3.9' and platform_machine != 'armv7l' and platform_machine != 'armv6l'",
        "pillow>=7.0",
        "tqdm>=4",      # progress of downloads and of long runs; loaded for these only
        "ai-edge-litert>=1.1; " + _LITERT,
        "tflite-runtime>=2.5; python_version < '3.9' and platform_system == 'Linux'",
        "tflite-runtime>=2.5; python_version >= '3.9' and python_version < '3.12' and (%s)" % _ARM32,
    ],
    extras_require={"test": ["pytest>=7", "hypothesis>=6", "setuptools"]},
    entry_points={"console_scripts": ["coral-classify=coral_classify.__main__:main"]},
    zip_safe=False,
)
