"""Commands as new processes, in turn: wall time in ms and peak memory in MB of each run.  Standard library only.

    python benchmarks/commands.py <<< '{"commands": {NAME: [WORD, ...]}, "rounds": N, "folder": PATH}'

A process of its own, because what Linux reports as a child's peak memory begins at what its parent had when the child
was started: this one has little.
"""
import json
import os
import subprocess
import sys
import time


def once(command, folder, environment):
    """:returns: (ms, MB)"""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    ms = 1e3 * (time.perf_counter() - began)
    process.returncode = status     # it was waited for
    if status:
        raise SystemExit("%s: status %d" % (" ".join(command), status))
    return ms, usage.ru_maxrss / (1024.0 * 1024.0 if sys.platform == "darwin" else 1024.0)


def main():
    asked = json.load(sys.stdin)
    # Compiled modules, as an installation has them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    names = sorted(asked["commands"])
    results = {name: {"ms": [], "mb": []} for name in names}
    for number in range(asked["rounds"] + 1):
        for name in names if number % 2 else names[::-1]:
            ms, mb = once(asked["commands"][name], asked["folder"], environment)
            if number:      # the first one warms the disk
                results[name]["ms"].append(ms)
                results[name]["mb"].append(mb)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
