"""The command line against the barest script: cold start and peak memory of new processes, in pairs."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from figures import Goal, Section, ratio, spread, table
from material import CHECKOUT, Material

HERE = Path(__file__).resolve().parent


def section(material: Material) -> Section:
    commands = {
        "coral-classify": [material.python, "-m", "coral_classify", material.picture, "--model", material.model,
                           "--device", "cpu", "--threads", str(material.threads)],
        "the barest script": [material.python, str(HERE / "barest.py"), material.model, str(material.threads),
                              material.picture],
    }
    asked = {"commands": commands, "rounds": material.rounds, "folder": str(CHECKOUT)}
    done = subprocess.run([sys.executable, str(HERE / "commands.py")], input=json.dumps(asked),
                          stdout=subprocess.PIPE, universal_newlines=True, check=True)
    results = json.loads(done.stdout)
    ours, theirs = (results[name] for name in commands)
    slower, more = ratio(ours["ms"], theirs["ms"]), ratio(ours["mb"], theirs["mb"])
    rows = [[name, spread(results[name]["ms"], "%.0f"), spread(results[name]["mb"], "%.1f")] for name in commands]
    rows.append(["ratio of the pairs", "%.2f" % slower, "%.2f" % more])
    return Section(
        "Cold start of the command line",
        "One JPEG in a new process, from its start to its end; Python modules are compiled, as in an installation.\n\n"
        + table(["command", "wall time, ms", "peak memory, MB"], rows),
        [Goal("command line: at most 1.3 times the barest script's wall time", "%.2f times" % slower, slower <= 1.3),
         Goal("command line: at most 1.1 times the barest script's peak memory", "%.2f times" % more, more <= 1.1)])
