"""Models by name: the published ones and your own.  Pull, verify, remove, add; where a name's files are.

Knows the user's folder, addresses and pins.  Knows nothing of engines and devices.
May use: doors, errors, arguments, locations, reading, writing, modelfiles, pictures (which
normalizations can be meant).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .addresses import shown
    from .catalogue import Wanted, add, by_name, damaged, files_of, installed, names, pull, remove

__all__ = ["Wanted", "add", "by_name", "damaged", "files_of", "installed", "names", "pull", "remove", "shown"]

# A model that is named by its path needs no catalogue.
__getattr__ = on_first_use(__name__, dict(dict.fromkeys(__all__[:-1], "catalogue"), shown="addresses"))
