"""Names that programs of 2020 use and today's libraries have not got any more; what to write instead, and a loan.

Knows Python's, NumPy's and Pillow's names; looks at what is installed here, since a name may still be there.
"""
from __future__ import annotations

import importlib
import warnings
from typing import Any, Dict, Optional

__all__ = ["LOOKED_AT", "MENDS", "MODULE_MENDS", "cure", "is_gone", "mend"]

_TYPES = ("bool", "int", "float", "complex", "object", "str")

# "module.name" -> what to write instead
MENDS: Dict[str, str] = {
    "PIL.Image.ANTIALIAS": "Image.LANCZOS",
    "PIL.Image.LINEAR": "Image.BILINEAR",
    "PIL.Image.CUBIC": "Image.BICUBIC",
    "numpy.long": "int",
    "numpy.unicode": "str",
    "numpy.float_": "np.float64",
    "numpy.complex_": "np.complex128",
    "numpy.string_": "np.bytes_",
    "numpy.unicode_": "np.str_",
    "numpy.Inf": "np.inf",
    "numpy.Infinity": "np.inf",
    "numpy.infty": "np.inf",
    "numpy.NaN": "np.nan",
    "numpy.NAN": "np.nan",
    "numpy.product": "np.prod",
    "numpy.cumproduct": "np.cumprod",
    "numpy.alltrue": "np.all",
    "numpy.sometrue": "np.any",
    "numpy.round_": "np.round",
    "numpy.asfarray": "np.asarray(…, dtype=float)",
    "numpy.msort": "np.sort(…, axis=0)",
    "numpy.row_stack": "np.vstack",
    "numpy.trapz": "np.trapezoid",
    "numpy.in1d": "np.isin",
    "time.clock": "time.perf_counter",
    "inspect.getargspec": "inspect.getfullargspec",
    "fractions.gcd": "math.gcd",
    "base64.encodestring": "base64.encodebytes",
    "base64.decodestring": "base64.decodebytes",
    "platform.linux_distribution": "the package distro",
    "platform.dist": "the package distro",
    "os.getcwdu": "os.getcwd",
    "string.letters": "string.ascii_letters",
    "string.maketrans": "str.maketrans",
    "asyncio.async": "asyncio.ensure_future",
}
MENDS.update({"numpy." + name: name for name in _TYPES})
MENDS.update({"collections." + name: "collections.abc." + name for name in (
    "Mapping", "MutableMapping", "Sequence", "MutableSequence", "Iterable", "Iterator", "Callable", "Set", "MutableSet",
    "Hashable", "Sized", "Container", "Generator", "KeysView", "ValuesView", "ItemsView")})

# Methods that Pillow 10 dropped; they are called on objects, whose module no reader of source knows.
MENDS.update({"textsize": "draw.textbbox((0, 0), text, font=font)[2:]",
              "multiline_textsize": "draw.multiline_textbbox((0, 0), text, font=font)[2:]",
              "getsize": "font.getbbox(text)[2:]"})

# Modules that newer Pythons have not got -> what to use instead
MODULE_MENDS: Dict[str, str] = {
    "imp": "importlib", "distutils": "setuptools (pip install setuptools)", "cgi": "email.message", "pipes": "shlex",
    "asyncore": "asyncio", "asynchat": "asyncio", "telnetlib": "a package of that name from the index",
    "Queue": "queue", "ConfigParser": "configparser", "StringIO": "io", "cPickle": "pickle", "Tkinter": "tkinter",
    "urllib2": "urllib.request", "PIL.ImageTk": "the system's package python3-pil.imagetk",
}

# Modules whose names are compared with what is installed.
LOOKED_AT = tuple(sorted({name.rpartition(".")[0] for name in MENDS if "." in name}))


def is_gone(module: str, name: str) -> bool:
    """Whether *module*, which can be imported here, has no such name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not hasattr(importlib.import_module(module), name)
    except Exception:   # the module itself is missing or broken: that is told elsewhere
        return False


def mend(module: Optional[str], name: str) -> Optional[str]:
    """What to write instead, if that is known."""
    return MENDS.get("%s.%s" % (module, name) if module else name)


def cure() -> None:
    """Lend the old names of Pillow, and NumPy's old names of Python's types, to this process."""
    _lend_pillow()
    try:
        import builtins

        import numpy
    except ImportError:
        return
    for name in _TYPES:
        if is_gone("numpy", name):
            setattr(numpy, name, getattr(builtins, name))


def _lend_pillow() -> None:
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        return
    for old, new in (("ANTIALIAS", "LANCZOS"), ("LINEAR", "BILINEAR"), ("CUBIC", "BICUBIC")):
        if not hasattr(Image, old):
            setattr(Image, old, getattr(Image, new))
    drawing: Any = ImageDraw.ImageDraw
    if not hasattr(drawing, "textsize"):
        drawing.textsize = lambda self, text, *some, **more: self.textbbox((0, 0), text, *some, **more)[2:]
        drawing.multiline_textsize = (
            lambda self, text, *some, **more: self.multiline_textbbox((0, 0), text, *some, **more)[2:])
    for name in ("FreeTypeFont", "ImageFont", "TransposedFont"):
        font: Any = getattr(ImageFont, name)
        if not hasattr(font, "getsize"):
            font.getsize = lambda self, text, *some, **more: self.getbbox(text, *some, **more)[2:]
