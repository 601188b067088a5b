"""A door that costs nothing to walk past: names of a package whose modules load when they are asked for (PEP 562)."""
from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False       # as in the package's own door: typing takes its time
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

__all__ = ["on_first_use"]


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for *package*.

    :param homes: public name -> module of the package that defines it, or is it
    """
    def load(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError("module %r has no attribute %r" % (package, name))
        module = importlib.import_module("." + home, package)
        value = module if name == home else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value
    return load
