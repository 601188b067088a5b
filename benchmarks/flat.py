"""Memory over many pictures: the command line in a process of its own, looked at from outside (Linux).

    python benchmarks/flat.py [--pictures 100000] [--device DEVICE] [--model MODEL]

A thousand drawn JPEGs, ten of them broken, are named over and over.  Prints Markdown: records and resident memory.
"""
from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CHECKOUT = Path(__file__).resolve().parent.parent
FILES, BROKEN_EVERY = 1000, 100


def draw(folder: Path) -> None:
    random = np.random.RandomState(0)
    for number in range(FILES):
        path = folder / ("%03d.jpg" % number)
        if number % BROKEN_EVERY == 50:
            path.write_bytes(b"no picture")
        else:
            coarse = random.randint(0, 256, (6, 8, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((320, 240)).save(str(path), quality=85)


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc", str(pid), "status").read_text())
    return int(found.group(1)) / 1024.0 if found else 0.0


def lines_in(path: Path, known: int, position: int) -> "tuple[int, int]":
    """How many there are, counted on from what is known."""
    with open(str(path), "rb") as file:
        file.seek(position)
        grown = file.read()
    return known + grown.count(b"\n"), position + len(grown)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, records = Path(name), Path(name) / "records.jsonl"
        draw(folder)
        names = folder / "names.txt"
        with open(str(names), "w") as file:
            for number in range(args.pictures):
                file.write("%s/%03d.jpg\n" % (folder, number % FILES))
        records.touch()
        command = [sys.executable, "-m", "coral_classify", "@%s" % names, "--jsonl", str(records),
                   "--device", args.device] + (["--model", args.model] if args.model else [])
        with open(str(folder / "said.txt"), "wb") as said:
            process = subprocess.Popen(command, cwd=str(CHECKOUT), stderr=said)
            print("| pictures | resident MB |\n|---|---|")
            done, position, due = 0, 0, args.pictures // 10
            while process.poll() is None:
                done, position = lines_in(records, done, position)
                if done >= due:
                    print("| %d | %.1f |" % (done, resident_mb(process.pid)), flush=True)
                    due += args.pictures // 10
                time.sleep(0.02)
        done, _ = lines_in(records, done, position)
        summary = [line for line in (folder / "said.txt").read_text().splitlines() if " skipped in " in line]
        print("\n%d records of %d pictures; %s" % (done, args.pictures, " ".join(summary)))
        return 0 if done == args.pictures else 1


if __name__ == "__main__":
    sys.exit(main())
