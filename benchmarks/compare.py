"""This package against the barest script and its peers: same model, pictures and threads, asked in turn."""
from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import numpy as np
from figures import Goal, LeftOut, Section, ratio, spread, table, turned
from material import Material
from peers import PEERS, environment
from PIL import Image

WAYS = str(Path(__file__).resolve().parent / "ways.py")
OURS, SERIAL, BAREST, PYCORAL = ("coral_classify", "coral_classify, one after the other", "the barest script",
                                 "PyCoral's documented way, same engine")
LARGE = "12-megapixel JPEG"
# On the 12-megapixel JPEG: how many times faster this package should be.
TIMES = {PYCORAL: 5.0, PEERS[0].title: 9.0, PEERS[1].title: 4.0, PEERS[2].title: 4.0}
Samples = Dict[str, Dict[str, List[List[float]]]]       # row -> way -> round -> ms


class Worker:
    """A way in its process.

    :raises LeftOut: if it does not start
    """

    def __init__(self, way: str, python: str, model: str, threads: int) -> None:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen([python, WAYS, way, model, str(threads)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=self._said, universal_newlines=True)
        try:
            self.versions: Dict[str, str] = self._answer()["versions"]
        except LeftOut:
            self.close()
            raise

    def ask(self, **what: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line[:1] in "{[-0123456789":     # some libraries print too
                return json.loads(line)
        self._process.wait()
        self._said.seek(0)
        words = [line.strip() for line in self._said.read().decode("utf-8", "replace").splitlines() if line.strip()]
        raise LeftOut(words[-1] if words else "it ended with status %d" % self._process.returncode)

    def close(self) -> None:
        self._process.communicate()
        self._said.close()


class Ways(NamedTuple):
    workers: Dict[str, Worker]
    left_out: Dict[str, str]        # way -> why
    best: Dict[str, int]            # way -> the class that it finds in the picture


def start(material: Material, peers: bool) -> Ways:
    """All ways; a peer that cannot be had is left out."""
    ways = Ways({}, {}, {})

    def begin(title: str, way: str, python: str) -> None:
        worker = Worker(way, python, material.model, material.threads)
        ways.best[title] = worker.ask(do="best", picture=material.picture)
        ways.workers[title] = worker

    for title, way in ((OURS, "coral_classify"), (BAREST, "barest"), (PYCORAL, "pycoral")):
        begin(title, way, material.python)
    for peer in PEERS:
        try:
            if not peers:
                raise LeftOut("not wanted")
            begin(peer.title, peer.way, environment(peer))
        except LeftOut as exc:
            hint = " (Debian: apt install %s)" % peer.system if "cannot open shared object" in str(exc) else ""
            ways.left_out[peer.title] = "%s%s" % (exc, hint)
    return ways


def section(material: Material, ways: Ways) -> Section:
    workers, singles = ways.workers, _singles(material)
    samples: Samples = {row: {title: [] for title in workers} for row in singles}
    for number in range(material.rounds):
        for row, (picture, count) in singles.items():
            for title in turned(list(workers), number):
                samples[row][title].append(workers[title].ask(do="one", picture=picture, count=count))
    memory = {title: workers[title].ask(do="memory") for title in workers}
    folder = "folder of %d pictures" % len(list(Path(material.many).iterdir()))
    samples[folder] = {title: [] for title in [OURS, SERIAL] + list(workers)}
    for number in range((material.rounds + 2) // 3):    # it takes long
        for title in turned(list(samples[folder]), number):
            worker = workers[OURS if title == SERIAL else title]
            what = "stream" if title == OURS else "folder"
            samples[folder][title].append([worker.ask(do=what, folder=material.many)])
    return Section("One picture, and a folder", _text(samples, memory, ways),
                   _times_goals(samples, ways) + _barest_goals(samples) + _peer_goals(samples, ways))


def _singles(material: Material) -> Dict[str, Any]:
    """Row -> picture, how often in a round."""
    return {"sized array": (None, 20), "JPEG %d × %d" % Image.open(material.picture).size: (material.picture, 10),
            LARGE: (material.large, 3)}


def _against(samples: Samples, row: str, title: str, ours: str = OURS) -> float:
    """How many times our time this way takes."""
    return ratio([float(np.median(times)) for times in samples[row][title]],
                 [float(np.median(times)) for times in samples[row][ours]])


def _text(samples: Samples, memory: Dict[str, float], ways: Ways) -> str:
    def cell(row: str, title: str) -> str:
        if title not in samples[row]:
            return ""
        times = [ms for one in samples[row][title] for ms in one]
        return "%s, %.2f ×" % (spread(times, "%.0f" if min(times) > 1000 else "%.2f"), _against(samples, row, title))

    titles = [OURS, SERIAL] + [title for title in ways.workers if title != OURS]
    rows = [[title] + [cell(row, title) for row in samples] + ["%.0f" % memory[title] if title in memory else ""]
            for title in titles]
    rows += [[title, "left out: " + why] + [""] * len(samples) for title, why in ways.left_out.items()]
    same = "All ways find the same best class." if len(set(ways.best.values())) == 1 else \
        "The best class differs: %s." % ", ".join("%s %d" % pair for pair in ways.best.items())
    return "\n\n".join([
        "ms, medians with quartiles; then how many times the time of %s, the median over the rounds. Each way is a "
        "process of its own, asked in turn; the engine has the same threads everywhere except in MediaPipe, where they "
        "cannot be set. Peak memory is that of the rows before the folder." % OURS,
        table(["way"] + ["%s, ms" % row for row in samples] + ["peak MB"], rows),
        "The folder: %s is `Classifier.stream`, **which decodes in threads of its own**; all others, and the second "
        "line, take one picture after the other. %s" % (OURS, same)])


def _times_goals(samples: Samples, ways: Ways) -> List[Goal]:
    goals = []
    for title, wanted in TIMES.items():
        text = "%s: at least %g times faster than %s" % (LARGE, wanted, title)
        if title in ways.workers:
            found = _against(samples, LARGE, title)
            goals.append(Goal(text, "%.2f times" % found, found >= wanted))
        else:
            goals.append(Goal(text, "left out: " + ways.left_out[title], None))
    return goals


def _barest_goals(samples: Samples) -> List[Goal]:
    goals = []
    for row in samples:
        for ours in [OURS] + [SERIAL] * (SERIAL in samples[row]):
            found = 1 / _against(samples, row, BAREST, ours)
            how = "" if ours == OURS and SERIAL not in samples[row] else \
                " (stream)" if ours == OURS else " (one after the other)"
            goals.append(Goal("%s%s: at most 1.05 times the barest script's time" % (row, how), "%.2f times" % found,
                              found <= 1.05))
    return goals


def _peer_goals(samples: Samples, ways: Ways) -> List[Goal]:
    goals = []
    for peer in PEERS[1:]:
        text = "every row, the folder one after the other: faster than %s" % peer.title
        if peer.title in ways.left_out:
            goals.append(Goal(text, "left out: " + ways.left_out[peer.title], None))
            continue
        found = {row: _against(samples, row, peer.title, SERIAL if SERIAL in samples[row] else OURS)
                 for row in samples}
        goals.append(Goal(text, ", ".join("%s %.2f times" % pair for pair in found.items()), min(found.values()) > 1))
    return goals
