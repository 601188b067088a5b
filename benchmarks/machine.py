"""What a benchmark ran on: versions, hardware, and what else ran there."""
from __future__ import annotations

import os
import platform
import time
from typing import Dict, List, Tuple

from PIL import features

from coral_classify import __version__
from coral_classify.engine import load_engine, usable_cores


def description(versions: Dict[str, Dict[str, str]]) -> str:
    """:param versions: way -> name -> version, as the ways' own processes tell them"""
    engine = load_engine()
    lines = ["- %s; usable cores: %d of %d" % (processor(), usable_cores(), os.cpu_count() or 1),
             "- %s" % system(),
             "- coral_classify %s, %s %s%s" % (__version__, engine.name, engine.version, decoder())]
    together: Dict[str, List[str]] = {}
    for way, found in versions.items():
        told = ", ".join("%s %s" % (name, number) for name, number in found.items() if number)
        together.setdefault(told, []).append(way)
    lines += ["- %s: %s" % ("; ".join(ways), told) for told, ways in together.items()]
    return "\n".join(lines)


class Others:
    """How many cores other programs take, from here to :meth:`cores`.  Children count as ours once they have ended."""

    def __init__(self) -> None:
        self._before = _used()

    def cores(self) -> float:
        """nan where Linux does not tell."""
        (wall, everything, ours), (end, everything_now, ours_now) = self._before, _used()
        return max(0.0, (everything_now - everything - (ours_now - ours)) / max(end - wall, 1e-9))


def _used() -> Tuple[float, float, float]:
    """Wall time, CPU time of the whole machine and of this process with its ended children, in s."""
    try:
        with open("/proc/stat", encoding="utf-8") as file:
            user, nice, system, _, _, irq, softirq, steal = (int(word) for word in file.readline().split()[1:9])
        everything = (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError):
        everything = float("nan")
    return time.perf_counter(), everything, sum(os.times()[:4])


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.lower().startswith(("model name", "model\t")) and not line.split(":")[1].strip().isdigit():
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def system() -> str:
    name = ""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            name = dict(line.strip().split("=", 1) for line in file if "=" in line).get("PRETTY_NAME", "").strip('"')
    except OSError:
        pass
    return ", ".join(part for part in (name, platform.platform()) if part)


def decoder() -> str:
    """What decodes JPEGs in this Pillow."""
    return ", libjpeg-turbo %s" % features.version("libjpeg_turbo") if features.check("libjpeg_turbo") else ""
