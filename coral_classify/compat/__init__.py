"""Other people's APIs over our sessions: programs written for PyCoral, ``tflite_runtime`` or the old ``edgetpu`` run
unchanged, on today's Python, and no longer die of the driver.

::

    python -m coral_classify.compat their_program.py --their arguments

    import coral_classify.compat
    coral_classify.compat.install()         # first line of a program that may be changed
    from pycoral.utils.edgetpu import make_interpreter

Knows the names, signatures, result types and error texts of those APIs.  Knows nothing of pictures, streams or labels
of this package.  Nothing is served before :func:`install`.
May use: errors, types, modelfiles, edgetpu, engine, supervision.
"""
from __future__ import annotations

from .finder import install, uninstall

__all__ = ["install", "uninstall"]
