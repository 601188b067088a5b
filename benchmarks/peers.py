"""The peers' own environments: for each a virtual environment with a Python that its publisher has wheels for.

They are kept in the checkout, as ``.venv-bench-NAME``.  Run as a script, it makes them and says where they are.
"""
from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

from figures import LeftOut

CHECKOUT = Path(__file__).resolve().parent.parent


class Peer(NamedTuple):
    name: str
    title: str
    way: str                        # of benchmarks/ways.py
    minors: Tuple[int, ...]         # Python 3.X that there are wheels for, best first
    requirements: Tuple[str, ...]
    system: str                     # Debian packages that its wheel takes for granted


PEERS = (
    Peer("tflite-runtime", "PyCoral's documented way, tflite-runtime", "pycoral", (11, 10, 9, 8, 7),
         ("tflite-runtime", "numpy<2", "pillow"), ""),
    # libusb-package: its extension links against libusb even where no accelerator is meant.
    Peer("tflite-support", "TF Task Library", "tasks", (11, 10, 9, 8, 7),
         ("tflite-support", "numpy<2", "libusb-package"), "libusb-1.0-0"),
    Peer("mediapipe", "MediaPipe Tasks", "mediapipe", (13, 12, 11, 10, 9), ("mediapipe",), "libegl1 libgles2 libgl1"),
)


def environment(peer: Peer) -> str:
    """The Python of the peer's environment, which is made if it is not there.

    :raises LeftOut: if it cannot be made
    """
    folder = CHECKOUT / (".venv-bench-" + peer.name)
    python, mark = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(peer.requirements)
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted and _is(str(python), peer.minors):
        return str(python)
    trouble = "no Python of %s is here" % ", ".join("3.%d" % minor for minor in peer.minors)
    for base in interpreters(peer.minors):
        shutil.rmtree(str(folder), ignore_errors=True)
        try:
            _run([base, "-m", "venv", str(folder)])
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--retries", "1"]
            _run(pip + ["--only-binary", ":all:"] + list(peer.requirements))
        except LeftOut as exc:
            trouble = str(exc)
            continue
        mark.write_text(wanted, encoding="utf-8")
        return str(python)
    shutil.rmtree(str(folder), ignore_errors=True)
    raise LeftOut(trouble)


def interpreters(minors: Sequence[int]) -> List[str]:
    """Pythons 3.X on the PATH, under pyenv's versions, and this one, in the order of *minors*."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = []
    for minor in minors:
        places = [shutil.which("python3.%d" % minor) or ""]
        places += sorted(glob.glob(os.path.join(root, "versions", "3.%d.*" % minor, "bin", "python")), reverse=True)
        places += [sys.executable]
        found += [place for place in places if _is(place, (minor,))][:1]
    return found


def _is(python: str, minors: Sequence[int]) -> bool:
    """Whether it runs and is one of these; a shim of pyenv's may be there and not run."""
    if not os.path.isfile(python):
        return False
    asked = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return asked.returncode == 0 and asked.stdout.strip() in ["3.%d" % minor for minor in minors]


def _run(command: List[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        raise LeftOut((errors or lines or ["%s failed" % command[0]])[-1])


def main() -> None:
    for peer in PEERS:
        try:
            print("%s: %s" % (peer.name, environment(peer)))
        except LeftOut as exc:
            print("%s: left out: %s" % (peer.name, exc))


if __name__ == "__main__":
    main()
