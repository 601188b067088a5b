"""The names that programs import, and which module of ours stands behind each.

Knows which installed package of a name is the one that programs mean: PyCoral was never published on the Python Package
Index, where another project has its name; its native module must fit this Python; an engine must work here.
"""
from __future__ import annotations

import importlib.machinery
import os
from typing import Any, Dict, List, NamedTuple, Optional

__all__ = ["ENGINE_TOPS", "SERVED", "TOPS", "Installed", "installed"]

# Name -> module of this room; None: a package that only holds others.
SERVED: Dict[str, Optional[str]] = {
    "pycoral": None,
    "pycoral.adapters": None,
    "pycoral.adapters.classify": "classify",
    "pycoral.adapters.common": "common",
    "pycoral.adapters.detect": "detect",
    "pycoral.adapters.segment": "segment",
    "pycoral.learn": None,
    "pycoral.learn.backprop": None,
    "pycoral.learn.backprop.softmax_regression": "softmax_regression",
    "pycoral.learn.imprinting": None,
    "pycoral.learn.imprinting.engine": "imprinting",
    "pycoral.pipeline": None,
    "pycoral.pipeline.pipelined_model_runner": "pipeline",
    "pycoral.utils": None,
    "pycoral.utils.dataset": "dataset",
    "pycoral.utils.edgetpu": "edgetpu_utils",
    "tflite_runtime": None,
    "tflite_runtime.interpreter": "interpreter",
    "ai_edge_litert": None,
    "ai_edge_litert.interpreter": "interpreter",
    "edgetpu": None,
    "edgetpu.basic": None,
    "edgetpu.basic.basic_engine": "basic_engine",
    "edgetpu.basic.edgetpu_utils": "old_utils",
    "edgetpu.classification": None,
    "edgetpu.classification.engine": "classification_engine",
    "edgetpu.detection": None,
    "edgetpu.detection.engine": "detection_engine",
    "edgetpu.learn": None,
    "edgetpu.learn.imprinting": None,
    "edgetpu.learn.imprinting.engine": "old_imprinting",
    "edgetpu.utils": None,
    "edgetpu.utils.dataset_utils": "old_dataset",
    "edgetpu.utils.image_processing": "image_processing",
}
TOPS = tuple(name for name in SERVED if "." not in name)
ENGINE_TOPS = ("tflite_runtime", "ai_edge_litert")
_NATIVE = {"pycoral": ("pybind", "_pywrap_coral"), "edgetpu": ("swig", "_edgetpu_cpp_wrapper")}


class Installed(NamedTuple):
    """What is installed under a name that programs import."""

    folder: str
    usable: bool
    remark: str     # one line about it


def installed(top: str, path: Optional[List[str]] = None) -> Optional[Installed]:
    """The package *top* that is installed here; None if there is none.

    :param top: one of :data:`TOPS`
    :param path: where to look; None: ``sys.path``
    """
    spec = importlib.machinery.PathFinder.find_spec(top, path)
    if spec is None or spec.origin is None:     # a folder of that name without modules is no package of anybody's
        return None
    folder = (list(spec.submodule_search_locations or []) or [os.path.dirname(spec.origin or "")])[0]
    if top not in _NATIVE:
        return _engine(top, folder)
    inner, native = _NATIVE[top]
    place = os.path.join(folder, inner)
    if not os.path.isdir(place):
        wrong = "the package of that name from the Python Package Index (a command line for the Allen Coral Atlas)" \
            if top == "pycoral" else "another package of that name"
        return Installed(folder, False, "%s in %s is not Google's: it is %s" % (top, folder, wrong))
    if not any(os.path.exists(os.path.join(place, native + suffix))
               for suffix in importlib.machinery.EXTENSION_SUFFIXES):
        return Installed(folder, False, "%s in %s has no native module for this Python" % (top, folder))
    return _with_numpy(top, folder)


def _with_numpy(top: str, folder: str) -> Installed:
    import numpy

    if int(numpy.__version__.split(".")[0]) >= 2:
        return Installed(folder, False, "%s in %s was built for NumPy 1; here is NumPy %s"
                         % (top, folder, numpy.__version__))
    return Installed(folder, True, "%s in %s is used as it is, without supervision; --ours gives ours" % (top, folder))


def _engine(top: str, folder: str) -> Installed:
    from ..engine import load_engine
    from ..errors import CoralClassifyError

    try:
        engine: Any = load_engine(top.replace("_", "-"))
    except CoralClassifyError as exc:
        return Installed(folder, False, str(exc))
    return Installed(folder, True, "%s %s in %s is used as it is, without supervision; --ours gives ours"
                     % (top, engine.version, folder))
