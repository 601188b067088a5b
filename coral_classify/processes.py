"""How to start another Python like this one: the same interpreter, the same modules, nothing of the current folder.

Knows interpreters and their paths.  Starts nothing itself.
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

# The path comes through the environment: the child must see the modules that its parent sees.  What `python -c` puts in
# front, the current folder, is not among them: a json.py among the pictures must not be imported.
_PATH = "CORAL_CLASSIFY_WORKER_PATH"
_BOOTSTRAP = (
    "import sys; sys.path[:] = [folder for folder in sys.path if folder]; import json, os; "
    "sys.path[:] = json.loads(os.environ.pop('%s')); " % _PATH
)


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

    :param code: has ``sys``, ``os`` and ``json``, and its arguments in ``sys.argv[1:]``
    :raises UsageError: where there is no interpreter to start; see :func:`interpreter`
    """
    folders = [os.path.abspath(folder) for folder in sys.path if isinstance(folder, str)]
    package = str(Path(__file__).resolve().parent.parent)
    if package not in folders:  # imported by a finder of its own, not from the path
        folders.append(package)
    environment = dict(os.environ)
    environment[_PATH] = json.dumps(folders)
    return [interpreter(), *_flags(), "-c", _BOOTSTRAP + code, *arguments], environment


def _flags() -> List[str]:
    """The isolation that this interpreter was started with holds for the other one, too."""
    if sys.flags.isolated:
        return ["-I"]
    chosen = {"-E": sys.flags.ignore_environment, "-s": sys.flags.no_user_site, "-S": sys.flags.no_site}
    return [flag for flag, wanted in chosen.items() if wanted]
