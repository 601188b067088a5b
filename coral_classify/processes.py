"""How to start another Python like this one: the same interpreter, the same modules, nothing of the current folder.

The one place that knows how; whoever starts a Python asks here.  Starts nothing itself.
"""
from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Dict, List, Tuple

from .errors import UsageError

__all__ = ["another_python", "interpreter"]

# As it was when this package was imported: a relative entry of the path may have led to it.
_PACKAGE_LIES_IN = str(Path(__file__).resolve().parent.parent)


def _found_then() -> Dict[str, str]:
    """The relative folders of the path, and where they were when this package was imported."""
    relative = [folder for folder in sys.path if isinstance(folder, str) and folder and not os.path.isabs(folder)]
    try:
        return {folder: os.path.abspath(folder) for folder in relative}
    except OSError:     # the current folder was deleted
        return {}


_RELATIVE = _found_then()
# Handed over in the environment: what this process imports from, which the other one could not find out by itself.
_TOLD = "CORAL_CLASSIFY_WORKER_PATH"
# All that it needs it imports before the path is ours; and the package itself comes from where ours lies, whatever
# other version of it the path may show.
_BOOTSTRAP = """\
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import json, os
from importlib import machinery, util
told = json.loads(os.environ.pop(%r))
sys.path[:] = told["path"]
spec = machinery.PathFinder.find_spec("coral_classify", [told["package"]])
if hasattr(spec.loader, "exec_module"):
    module = sys.modules[spec.name] = util.module_from_spec(spec)
    spec.loader.exec_module(module)
else:   # from a zip file, before Python 3.10
    spec.loader.load_module(spec.name)
""" % _TOLD


def interpreter() -> str:
    """The Python interpreter that can run a worker.

    :raises UsageError: where there is none (a frozen application, an embedding program) or no way to hand
        descriptors over (Windows)
    """
    if os.name != "posix":
        raise UsageError(
            "supervised sessions need POSIX processes and do not run on %s yet; use supervised=False"
            % sys.platform
        )
    named = os.environ.get("CORAL_CLASSIFY_PYTHON")
    if named:
        return named
    if getattr(sys, "frozen", False):
        raise UsageError(
            "supervised sessions start a Python interpreter, and this is a frozen application (%s); use "
            "supervised=False, or name an interpreter that has coral_classify in CORAL_CLASSIFY_PYTHON"
            % (sys.executable or "without sys.executable")
        )
    if sys.executable and re.match(r"(python|pypy)", os.path.basename(sys.executable), re.IGNORECASE):
        return sys.executable
    # Embedded (uwsgi, mod_wsgi, …): sys.executable is empty or names the embedding program.
    for name in ("python%d.%d" % sys.version_info[:2], "python3"):
        candidate = os.path.join(sys.exec_prefix, "bin", name)
        if os.access(candidate, os.X_OK):
            return candidate
    raise UsageError(
        "supervised sessions start a Python interpreter, and sys.executable is %r; use supervised=False, or "
        "name an interpreter that has coral_classify in CORAL_CLASSIFY_PYTHON" % (sys.executable or "")
    )


def another_python(code: str, *arguments: str) -> Tuple[List[str], Dict[str, str]]:
    """Command line and environment of a Python that runs *code* with the modules that this one sees.

    It starts isolated: no PYTHON variable, no folder of the user's and not the current folder decide what it executes
    before it gets our path.  Of that it gets the absolute folders, and the relative ones as they were found when this
    package was imported.  An empty entry, and a relative one that came later, mean another folder after every chdir,
    and a ``json.py`` among the pictures must not be imported.

    :param code: has ``sys``, ``os`` and ``json``, and its arguments in ``sys.argv[1:]``
    :raises UsageError: where there is no interpreter to start; see :func:`interpreter`
    """
    named = [_RELATIVE.get(folder, folder) for folder in sys.path if isinstance(folder, str)]
    told = {
        "path": [folder for folder in named if os.path.isabs(folder)],
        "package": _PACKAGE_LIES_IN,
    }
    environment = dict(os.environ)
    flags = ["-I"]
    if "PYTHONHOME" in os.environ and not sys.flags.ignore_environment:
        # A Python that was moved finds its own library by this variable alone.
        flags = ["-s"]
        environment = {name: value for name, value in environment.items()
                       if not name.startswith("PYTHON") or name == "PYTHONHOME"}
    flags += ["-S"] * bool(sys.flags.no_site) + ["-B"] * bool(sys.dont_write_bytecode)
    flags += ["-X", "utf8=%d" % sys.flags.utf8_mode]  # names of files must mean the same to both
    environment[_TOLD] = json.dumps(told)
    return [interpreter(), *flags, "-c", _BOOTSTRAP + code, *arguments], environment
