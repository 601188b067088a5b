"""Answers for the simulated libedgetpu: input bytes in, output bytes of the plain model out."""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from coral_classify.engine import open_session  # noqa: E402
from coral_classify.modelfiles import read_model  # noqa: E402

__all__ = ["main"]


def main(model: str) -> None:
    with open_session(read_model(Path(model)), device="cpu", threads=1) as session:
        size = int(np.prod(session.input.shape))
        for data in iter(lambda: sys.stdin.buffer.read(size), b""):
            answer = session.run(np.frombuffer(data, session.input.dtype).reshape(session.input.shape))
            sys.stdout.buffer.write(answer.tobytes())
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
