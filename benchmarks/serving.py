"""What HTTP costs: `coral-classify serve` against `stream()`, and against the barest handler of the same library.

    python benchmarks/serving.py [--model FILE] [--picture FILE.jpg] [--rounds 15] [--requests 10000]

Server, stream and barest handler each have the same half of the cores, one after the other, and the clients have the
other half: so nobody takes time from what is measured.  The ways are asked in turn, round by round; a figure is the
median of the rounds, and so is a ratio.  Beside the wall time stands the processor time of the measured process alone,
which other programs of the machine disturb less.  One JSON line.  Linux only; needs the extra [serve].
"""
from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from machine import processor
from PIL import Image

from coral_classify import Classifier

REPOSITORY = str(Path(__file__).resolve().parent.parent)
TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVERS, CLIENTS = set(CORES[:max(1, len(CORES) // 2)]), set(CORES[len(CORES) // 2:])
STREAM = """
import sys, time
from coral_classify import Classifier
model, picture, many = sys.argv[1], open(sys.argv[2], "rb").read(), int(sys.argv[3])
with Classifier(model, device="cpu") as classifier:
    list(classifier.stream([picture] * 4))
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        assert all(result.error is None for result in classifier.stream(picture for _ in range(many)))
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)
"""
# Bytes in, run, bytes out: no queue, no checks, no JSON.
BAREST = """
import sys
import numpy as np
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from coral_classify import Classifier
from coral_classify.web import Server, address
classifier = Classifier(sys.argv[1], device="cpu")
shape = classifier.input.shape
async def infer(request):
    body = await request.body()
    return Response(classifier.run(np.frombuffer(body, np.uint8).reshape(shape))[0].tobytes())
where = address("127.0.0.1:0")
server = Server(Starlette(routes=[Route("/", infer, methods=["POST"])]), where)
server.run(lambda url: print("serving barest at", url, file=sys.stderr, flush=True))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(Path(REPOSITORY) / "models" / "everyday_objects.tflite"))
    parser.add_argument("--picture", help="a JPEG; made into one of 12 megapixels (default: an example)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pictures", type=int, default=48, help="of 12 megapixels in a round")
    parser.add_argument("--tensors", type=int, default=400, help="in a round")
    parser.add_argument("--requests", type=int, default=10000, help="over 64 connections")
    args = parser.parse_args()
    os.sched_setaffinity(0, CLIENTS)
    small, large = drawn(args.picture)
    told: Dict[str, Any] = {
        "processor": processor(), "cores": {"servers": len(SERVERS), "clients": len(CLIENTS)},
        "model": os.path.basename(args.model), "jpeg_mb": round(len(large) / 1e6, 2), "rounds": args.rounds}
    with served(args.model) as (port, server):
        told["pictures"] = pictures(args, large, port, server)
        told["tensors"] = {str(connections): tensors(args, port, server, connections) for connections in (1, 8)}
        told["soak"] = soak(args.requests, small, port, server)
    print(json.dumps(told))


def drawn(picture: Optional[str]) -> Tuple[bytes, bytes]:
    """A JPEG as it is, and with 12 megapixels."""
    image = Image.open(picture or str(Path(REPOSITORY) / "examples" / "chelsea.png")).convert("RGB")
    made = []
    for size in (image.size, (4000, 3000)):
        file = io.BytesIO()
        image.resize(size, Image.LANCZOS).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made[0], made[1]


@contextlib.contextmanager
def started(command: Sequence[str], **options: Any) -> "Iterator[subprocess.Popen[Any]]":
    process = subprocess.Popen(command, env=dict(os.environ, PYTHONPATH=REPOSITORY), universal_newlines=True,
                               preexec_fn=lambda: os.sched_setaffinity(0, SERVERS), **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def served(model: str) -> "Iterator[Tuple[int, subprocess.Popen[Any]]]":
    with started([sys.executable, "-m", "coral_classify", "serve", "--model", model, "--device", "cpu", "--listen",
                  "127.0.0.1:0"], stderr=subprocess.PIPE) as process:
        yield port_of(process), process


def port_of(process: "subprocess.Popen[Any]") -> int:
    """Where it says that it listens."""
    for line in process.stderr or ():
        found = re.match(r"serving .*:(\d+)/", line)
        if found:
            threading.Thread(target=(process.stderr or io.StringIO()).read, daemon=True).start()
            return int(found.group(1))
    raise SystemExit("the server did not start")


def pictures(args: argparse.Namespace, large: bytes, port: int, server: "subprocess.Popen[Any]") -> Dict[str, Any]:
    """12-megapixel JPEGs over 8 connections, against stream() over the same bytes in memory."""
    file = Path(os.environ.get("TMPDIR", "/tmp")) / ("coral-classify-%d.jpg" % os.getpid())
    file.write_bytes(large)
    rounds: List[Tuple[float, float, float, float]] = []
    request = post("/v1/classify", large)
    try:
        with started([sys.executable, "-c", STREAM, args.model, str(file), str(args.pictures)],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stream:
            assert stream.stdin is not None and stream.stdout is not None
            ask_all(port, [request] * 8, 8)
            for _ in range(args.rounds):
                stream.stdin.write("go\n")
                stream.stdin.flush()
                wall, cpu = map(float, stream.stdout.readline().split())
                before, began = processor_s(server.pid), time.perf_counter()
                statuses = ask_all(port, [request] * args.pictures, 8)
                assert statuses == {200: args.pictures}, statuses
                rounds.append((wall, cpu, time.perf_counter() - began, processor_s(server.pid) - before))
    finally:
        file.unlink()
    return {"stream_per_s": middle([args.pictures / one[0] for one in rounds]),
            "serve_per_s": middle([args.pictures / one[2] for one in rounds]),
            "share_of_stream": middle([one[0] / one[2] for one in rounds]),
            "stream_cpu_ms": middle([1e3 * one[1] / args.pictures for one in rounds]),
            "serve_cpu_ms": middle([1e3 * one[3] / args.pictures for one in rounds]),
            "share_of_stream_by_cpu": middle([one[1] / one[3] for one in rounds])}


def tensors(args: argparse.Namespace, port: int, server: "subprocess.Popen[Any]", connections: int) -> Dict[str, Any]:
    """Raw tensors in the protocol's binary form, against the barest handler."""
    with Classifier(args.model, device="cpu", threads=1) as classifier:
        shape = classifier.input.shape
    tensor = np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8).tobytes()
    text = json.dumps({"inputs": [{"name": "input", "datatype": "UINT8", "shape": list(shape),
                                   "parameters": {"binary_data_size": len(tensor)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    name = re.sub(r"\.tflite$", "", os.path.basename(args.model))
    ours = post("/v2/models/%s/infer" % name, text + tensor, "Inference-Header-Content-Length: %d\r\n" % len(text))
    bare = post("/", tensor)
    rounds: List[Tuple[float, float, float, float]] = []
    with started([sys.executable, "-c", BAREST, args.model], stderr=subprocess.PIPE) as barest:
        bare_port = port_of(barest)
        for which in range(args.rounds + 1):
            row: List[float] = []
            for its_port, request, pid in ((bare_port, bare, barest.pid), (port, ours, server.pid)):
                before, began = processor_s(pid), time.perf_counter()
                statuses = ask_all(its_port, [request] * args.tensors, connections)
                assert statuses == {200: args.tensors}, statuses
                row += [time.perf_counter() - began, processor_s(pid) - before]
            if which:       # the first warms up
                rounds.append((row[0], row[1], row[2], row[3]))
    return {"barest_ms": middle([1e3 * one[0] / args.tensors for one in rounds]),
            "serve_ms": middle([1e3 * one[2] / args.tensors for one in rounds]),
            "times_barest": middle([one[2] / one[0] for one in rounds]),
            "times_barest_by_cpu": middle([one[3] / one[1] for one in rounds])}


def soak(many: int, picture: bytes, port: int, server: "subprocess.Popen[Any]") -> Dict[str, Any]:
    """64 connections that are held, 1 % of the pictures broken."""
    good, broken = post("/v1/classify", picture), post("/v1/classify", picture[:len(picture) // 3])
    memory, statuses, began = [resident_mb(server.pid)], {}, time.perf_counter()
    for _ in range(10):
        share = many // 10
        for status, count in ask_all(port, [broken if i % 100 == 7 else good for i in range(share)], 64).items():
            statuses[status] = statuses.get(status, 0) + count
        memory.append(resident_mb(server.pid))
    return {"requests": sum(statuses.values()), "statuses": statuses, "resident_mb": memory,
            "per_s": round(many / (time.perf_counter() - began), 1)}


# ---- a client that costs little


def post(path: str, body: bytes, more: str = "") -> bytes:
    return ("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n" % (path, len(body), more)
            ).encode() + body


def ask_all(port: int, requests: List[bytes], connections: int) -> Dict[int, int]:
    """How often each status came; each connection is held to the end."""
    left, lock, statuses = list(requests), threading.Lock(), {}     # type: ignore[var-annotated]

    def ask() -> None:
        with socket.create_connection(("127.0.0.1", port)) as end:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    if not left:
                        return
                    request = left.pop()
                end.sendall(request)
                status = answered(end)
                with lock:
                    statuses[status] = statuses.get(status, 0) + 1

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def answered(end: socket.socket) -> int:
    got = b""
    while b"\r\n\r\n" not in got:
        block = end.recv(65536)
        if not block:
            return 0        # lost
        got += block
    head, _, rest = got.partition(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
    missing = int(found.group(1) if found else 0) - len(rest)
    while missing > 0:
        missing -= len(end.recv(65536))
    return int(head.split(b" ", 2)[1])


def processor_s(pid: int) -> float:
    fields = Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/%d/status" % pid).read_text())
    return round(int(found.group(1)) / 1024, 1) if found else 0.0


def middle(values: List[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
