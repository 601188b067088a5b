"""The proof: this package against the barest script and its peers, in one run, in turn, as Markdown.

    python benchmarks/bench.py --model mobilenet-v2 [--picture PICTURE.jpg] [--rounds 15] [--output FILE]

``make bench`` does it with everything that it needs.  The peers' environments are made at the first run (a few hundred
MB from the package index); what cannot be had on this machine is left out, and the report says why.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import accelerators
import command_line
import compare
import machine
import streams
from figures import Section, goals_table
from material import Material, make

from coral_classify import Classifier

BUSY = 0.1      # cores that other work takes
LATEST = Path(__file__).resolve().parent / "latest.md"


def sections(material: Material, ways: compare.Ways, folder: Path) -> Iterator[Section]:
    compared = compare.section(material, ways)
    for worker in ways.workers.values():
        worker.close()
    yield compared
    yield command_line.section(material)
    yield streams.section(material)
    yield from accelerators.sections(material, folder)


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a quantized classifier: a file, or a name")
    parser.add_argument("--picture", help="a JPEG of some 512 x 929 (default: one of the examples, enlarged)")
    parser.add_argument("--threads", type=int, default=1, help="of the engine (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="(default: 15; a third of them for what takes long)")
    parser.add_argument("--pictures", type=int, default=200, help="in a folder (default: 200)")
    parser.add_argument("--no-peers", action="store_true", help="without the packages that need their own environments")
    parser.add_argument("--output", default=str(LATEST), help="(default: benchmarks/latest.md)")
    args = parser.parse_args(argv)
    began = time.time()
    with Classifier(args.model, device="cpu") as classifier:
        model = classifier.model
    parts: List[str] = []

    def say(text: str) -> None:
        parts.append(text)
        print(text + "\n", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["CORAL_CLASSIFY_HOME"] = str(folder / "home")    # nothing is left in the user's
        material = make(folder, model, args.picture, threads=args.threads, rounds=args.rounds, count=args.pictures)
        ways = compare.start(material, peers=not args.no_peers)
        say("# Benchmark\n\n%s\n- %s, engine threads: %d, %d rounds, %s" % (
            machine.description({title: worker.versions for title, worker in ways.workers.items()}),
            os.path.basename(model), args.threads, args.rounds, time.strftime("%Y-%m-%d %H:%M")))
        goals, others = [], [machine.Others()]
        for section in sections(material, ways, folder):
            cores = others[-1].cores()
            say("## %s\n\n%s\n\nOther work took %.2f cores meanwhile." % (section.title, section.text, cores))
            goals += section.goals
            others.append(machine.Others())
    say("## Goals\n\n%s\n\nIt took %.1f minutes; other work took %.2f cores of this machine%s." % (
        goals_table(goals), (time.time() - began) / 60, others[0].cores(),
        ", **so these figures are rough**" if others[0].cores() > BUSY else ""))
    Path(args.output).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
