"""``coral-classify live`` with a page, in a process of its own."""
from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading

from conftest import REPOSITORY


def started(*options, python=("-m", "coral_classify", "live")):
    """The process; its errors can be read.

    :param python: what Python runs
    """
    return subprocess.Popen([sys.executable, *python, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                            cwd=str(REPOSITORY), env=dict(os.environ), universal_newlines=True)


def url_of(process):
    """Of its page, once it says so."""
    line = ""
    while not line.startswith("page: "):
        line = process.stderr.readline()
        assert line, "it ended"
    return re.search(r"http\S+", line).group(0)


@contextlib.contextmanager
def running(*options):
    """The page's URL, while the command runs."""
    with started(*options) as process:
        try:
            url = url_of(process)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
