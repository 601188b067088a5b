"""Damages the structure of models and runs each in a child process: is it refused, or does an engine die of it?

``python tests/model_fuzzer.py MODEL... --rounds 10000``; without a model, small ones of many operators are written.
What kills the child, hangs it, or lets out an error that is none of ours, is printed, and kept with ``--keep FOLDER``.
"""
from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from tflite_writer import Numbers, Scalar, Table, colours, flatbuffer, tensor  # noqa: E402

HANG_S = 60             # of processor time: a busy machine is no finding
MEMORY = 3 << 30        # bytes of address space beyond what the child has at its start
_SIZES = {"b": 1, "h": 2, "i": 4, "q": 8, "f": 4}
_NUMBERS = (-(1 << 31), -(1 << 30), -129, -128, -100, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 127, 128, 255, 256, 1000,
            32767, 65535, 65536, 1 << 20, 1 << 28, (1 << 31) - 1)


class Place(NamedTuple):
    """A number in the file that says how it is put together."""

    position: int
    form: str           # of struct: "i" …


class Structure:
    """Finds those numbers: scalars, offsets, lengths, and the elements of short vectors."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._seen: set = set()
        self.places: List[Place] = [Place(0, "i")]
        self._model(self._int(0))

    def _int(self, position: int, form: str = "i") -> int:
        return struct.unpack_from("<" + form, self._content, position)[0]

    def _fields(self, table: int) -> Dict[int, Tuple[int, int]]:
        """number -> (position, space up to the next field)"""
        vtable = table - self._int(table)
        size, inline = self._int(vtable, "H"), self._int(vtable + 2, "H")
        if table not in self._seen:
            self._seen.add(table)
            self.places.append(Place(table, "i"))
            self.places += [Place(vtable + n, "h") for n in range(0, size, 2)]
        offsets = [self._int(vtable + n, "H") for n in range(4, size, 2)]
        ends = sorted([offset for offset in offsets if offset] + [inline])
        return {number: (table + offset, ends[ends.index(offset) + 1] - offset)
                for number, offset in enumerate(offsets) if offset}

    def _scalars(self, table: int, *, but: Sequence[int] = ()) -> Dict[int, Tuple[int, int]]:
        fields = self._fields(table)
        for number, (position, space) in fields.items():
            if number not in but:
                self.places += [Place(position, form) for form in "qifhb" if _SIZES[form] <= space][-3:]
        return fields

    def _target(self, position: int) -> int:
        self.places.append(Place(position, "i"))
        return position + self._int(position)

    def _vector(self, position: int, form: str) -> None:
        start = self._target(position)
        length = self._int(start)
        self.places.append(Place(start, "i"))
        self.places += [Place(start + 4 + _SIZES[form] * n, form) for n in range(min(length, 64))]

    def _tables(self, position: int) -> List[int]:
        start = self._target(position)
        self.places.append(Place(start, "i"))
        return [self._target(start + 4 + 4 * n) for n in range(self._int(start))]

    def _each(self, table: int, vectors: str, tables: Dict[int, Any]) -> None:
        """*vectors*: a letter a field, "." for none."""
        forms = {number: form for number, form in enumerate(vectors) if form != "."}
        fields = self._scalars(table, but=list(forms) + list(tables))
        for number, (position, _) in fields.items():
            if number in forms:
                self._vector(position, forms[number])
            elif number in tables:
                tables[number](position)

    def _model(self, table: int) -> None:
        every = lambda one: lambda position: [one(each) for each in self._tables(position)]     # noqa: E731
        self._each(table, ".", {
            1: every(lambda code: self._each(code, ".b", {})), 2: every(self._graph),
            4: every(lambda data: self._each(data, "b", {}))})

    def _graph(self, table: int) -> None:
        every = lambda one: lambda position: [one(each) for each in self._tables(position)]     # noqa: E731
        # Several times, since they are few and matter most.
        for _ in range(4):
            self._each(table, ".ii", {})
        self._each(table, ".ii", {
            0: every(lambda one: self._each(one, "i......i", {
                4: lambda at: self._each(self._target(at), "fffq", {})})),
            3: every(lambda one: self._each(one, ".ii", {4: lambda at: self._scalars(self._target(at))}))})


def damaged(content: bytes, places: Sequence[Place], chance: random.Random) -> bytes:
    """The file with one to three numbers changed."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        position, form = chance.choice(places)
        size = _SIZES[form]
        if position + size > len(changed):
            continue
        kind = chance.random()
        if kind < 0.15:
            changed[position + chance.randrange(size)] ^= 1 << chance.randrange(8)
        elif kind < 0.3:
            other = chance.choice(places).position
            changed[position:position + size] = changed[other:other + size].ljust(size, b"\0")
        elif form == "f":
            struct.pack_into("<f", changed, position, chance.choice(
                (0.0, -1.0, 1e-40, 1e-30, 1e30, 3e38, float("nan"), float("inf"), -float("inf"), 0.5)))
        else:
            number = chance.choice(_NUMBERS)
            if kind < 0.5:
                number = struct.unpack_from("<" + form, changed, position)[0] + chance.choice((-4, -2, -1, 1, 2, 4))
            bits = 8 * size
            changed[position:position + size] = (number & ((1 << bits) - 1)).to_bytes(size, "little")
    return bytes(changed)


# ---- small models of many operators


def _int32(values: Sequence[int]) -> Table:
    return Table({0: Numbers("uint8", struct.pack("<%di" % len(values), *values))})


class _Chain:
    """A network of operators behind each other, written table by table."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.scale = 0.0 if dtype == "float32" else 0.05
        self.buffers = [Table({})]
        self.codes: List[Table] = []
        self.operators: List[Table] = []
        self.tensors = [tensor("image", (1, 8, 8, 3), dtype, self.scale, 0)]
        self.last = 0
        self.shape: Tuple[int, ...] = (1, 8, 8, 3)

    def constant(self, shape: Sequence[int], dtype: str = "", scale: float = 0.05) -> int:
        dtype = dtype or self.dtype
        count = 1
        for n in shape:
            count *= n
        form = {"float32": "f", "uint8": "B", "int8": "b", "int32": "i"}[dtype]
        content = struct.pack("<%d%s" % (count, form), *[n % 5 + 1 for n in range(count)])
        self.buffers.append(Table({0: Numbers("uint8", content)}))
        self.tensors.append(tensor("c", shape, dtype, 0.0 if self.dtype == "float32" else scale, 0,
                                   len(self.buffers) - 1))
        return len(self.tensors) - 1

    def indices(self, values: Sequence[int], shape: Sequence[int] = ()) -> int:
        self.buffers.append(_int32(values))
        self.tensors.append(tensor("n", shape or (len(values),), "int32", 0.0, 0, len(self.buffers) - 1))
        return len(self.tensors) - 1

    def bias(self, count: int) -> int:
        return self.constant((count,), "float32" if self.dtype == "float32" else "int32", 0.0025)

    def then(self, code: int, shape: Sequence[int], others: Sequence[int] = (), kind: int = 0,
             options: Tuple[Tuple[int, str, Any], ...] = (), *, vectors: Optional[Dict[int, Any]] = None) -> None:
        scale = self.scale
        zero_point = 0
        if code == 25 and self.scale:
            scale, zero_point = 1 / 256, -128 if self.dtype == "int8" else 0
        self.tensors.append(tensor("t", shape, self.dtype, 0.0 if self.dtype == "float32" else scale, zero_point))
        output = len(self.tensors) - 1
        version = 2 if self.dtype == "int8" and code != 22 else 1
        self.codes.append(Table({0: Scalar("int8", min(code, 127)), 2: Scalar("int32", version),
                                 3: Scalar("int32", code)}))
        fields: Dict[int, Any] = {0: Scalar("uint32", len(self.codes) - 1),
                                  1: Numbers("int32", [self.last] + list(others)),
                                  2: Numbers("int32", [output])}
        if kind:
            fields[3] = Scalar("uint8", kind)
            fields[4] = Table({number: Scalar(form, value) for number, form, value in options})
            fields[4].fields.update(vectors or {})
        self.operators.append(Table(fields))
        self.last, self.shape = output, tuple(shape)

    def written(self) -> bytes:
        graph = Table({0: self.tensors, 1: Numbers("int32", [0]), 2: Numbers("int32", [self.last]),
                       3: self.operators, 4: "main"})
        return flatbuffer(Table({0: Scalar("uint32", 3), 1: self.codes, 2: [graph], 3: "chain", 4: self.buffers}),
                          b"TFL3")


def chain(dtype: str) -> bytes:
    """A classifier of four classes from the operators of the published networks."""
    net = _Chain(dtype)
    net.then(3, (1, 4, 4, 4), [net.constant((4, 3, 3, 3)), net.bias(4)], 1,
             ((0, "int8", 0), (1, "int32", 2), (2, "int32", 2), (4, "int32", 1), (5, "int32", 1)))
    net.then(4, (1, 4, 4, 4), [net.constant((1, 3, 3, 4)), net.bias(4)], 2,
             ((0, "int8", 0), (1, "int32", 1), (2, "int32", 1), (3, "int32", 1), (5, "int32", 1), (6, "int32", 1)))
    net.then(0, (1, 4, 4, 4), [net.constant((1, 4, 4, 4))], 11)
    net.then(34, (1, 6, 6, 4), [net.indices([0, 0, 1, 1, 1, 1, 0, 0], (4, 2))], 22)
    net.then(17, (1, 3, 3, 4), (), 5,
             ((0, "int8", 1), (1, "int32", 2), (2, "int32", 2), (3, "int32", 2), (4, "int32", 2)))
    net.then(18, (1, 3, 3, 4), [net.constant((1, 3, 3, 4))], 21)
    net.then(2, (1, 3, 3, 8), [net.last], 10, ((0, "int32", 3),))
    net.then(23, (1, 6, 6, 8), [net.indices([6, 6])], 15, ((3, "int8", 0),))
    net.then(45, (1, 4, 4, 8), [net.indices([0, 0, 0, 0]), net.indices([1, 4, 4, 8]), net.indices([1, 1, 1, 1])], 32)
    net.then(1, (1, 2, 2, 8), (), 5,
             ((0, "int8", 1), (1, "int32", 2), (2, "int32", 2), (3, "int32", 2), (4, "int32", 2)))
    net.then(39, (1, 2, 2, 8), [net.indices([0, 2, 1, 3])], 26)
    weights, size, before = net.constant((4, 2, 2, 8)), net.indices([1, 4, 4, 4]), net.last
    net.then(67, (1, 4, 4, 4), (), 49, ((0, "int8", 1), (1, "int32", 2), (2, "int32", 2)))
    net.operators[-1].fields[1] = Numbers("int32", [size, weights, before])
    net.then(40, (1, 4), [net.indices([1, 2])], 27, ((0, "int8", 0),))
    net.then(22, (1, 4), [net.indices([1, 4])], 17)
    net.then(9, (1, 4), [net.constant((4, 4)), net.bias(4)], 8, ((0, "int8", 0),))
    net.then(25, (1, 4), (), 9, ((0, "float32", 1.0),))
    return net.written()


def chain_of_others(dtype: str) -> bytes:
    """A classifier of four classes from further operators that the Edge TPU's compiler maps."""
    net = _Chain(dtype)
    net.then(26, (1, 4, 4, 12), (), 19, ((0, "int32", 2),))
    net.then(5, (1, 8, 8, 3), (), 94, ((0, "int32", 2),))
    net.then(65, (1, 4, 4, 3), [net.indices([0, 1, 1, 0]), net.indices([1, 4, 4, 3])], 48)
    net.then(70, (1, 1, 4, 4, 3), [net.indices([1], (1,))], 52)
    net.then(43, (1, 4, 4, 3), (), 30, vectors={0: Numbers("int32", [1])})
    net.then(97, (1, 8, 8, 3), [net.indices([8, 8])], 74)
    net.then(36, (1, 4, 8, 3), [net.indices([0, 2, 4, 6])], 23, ((0, "int32", 1),))
    net.then(83, (2, 1, 4, 8, 3), [net.last], 59, ((0, "int32", 2), (1, "int32", 0)))
    net.then(22, (1, 8, 8, 3), [net.indices([1, 8, 8, 3])], 17)
    net.then(69, (1, 8, 8, 6), [net.indices([1, 1, 1, 2])], 51)
    net.then(55, (1, 8, 8, 6), [net.last], 39)
    net.then(41, (1, 8, 8, 6), [net.constant((1, 1, 1, 6))], 28)
    net.then(82, (1, 6), [net.indices([1, 2])], 27, ((0, "int8", 0),))
    net.then(9, (1, 4), [net.constant((4, 6)), net.bias(4)], 8, ((0, "int8", 0),))
    return net.written()


MATERIAL = {
    "colours": lambda: colours(), "colours-int8": lambda: colours(dtype="int8", scale=0.5, zero_point=-128),
    "chain": lambda: chain("uint8"), "chain-int8": lambda: chain("int8"), "chain-float": lambda: chain("float32"),
    "others": lambda: chain_of_others("uint8"), "others-float": lambda: chain_of_others("float32"),
}


# ---- the child


def outcome(path: Path, engine: str) -> Tuple[str, str]:
    """(what comes of one model file, the details): "runs", "refused", "engine", "wrong", "killed" or "hangs"."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(path, engine, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return ("hangs" if number == signal.SIGXCPU else "killed"), "%s %s" % (signal.Signals(number).name, said)
    word = said.partition("\n")[2].partition("\n")
    return word[0] or "wrong", word[2] if word[0] else "ended with %d: %s" % (os.WEXITSTATUS(status), said)


def _child(path: Path, engine: str, writer: int) -> None:
    """Never returns."""
    try:
        import resource

        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (HANG_S, HANG_S + 5))
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        os.write(writer, b"\n")
        os.write(writer, "\n".join(_tried(path, engine, writer)).encode("utf-8"))
    except BaseException as exc:
        os.write(writer, ("wrong\n%s: %s" % (type(exc).__name__, exc)).encode("utf-8"))
    finally:
        os._exit(0)


def _tried(path: Path, engine: str, writer: int) -> Tuple[str, str]:
    import numpy as np

    from coral_classify import engine as engines
    from coral_classify.errors import EngineError, ModelError
    from coral_classify.modelfiles import read_model

    try:
        model = read_model(path)
        if model.compiled:
            return "refused", "compiled"
    except ModelError as exc:
        return "refused", str(exc).partition(": ")[2]
    try:
        with engines.open_session(model, device="cpu", engine=engine, threads=1) as session:
            for fill in (0, 127):
                session.run(np.full(session.input.shape, fill, session.input.dtype))
    except ModelError as exc:
        return "refused", str(exc).partition(": ")[2]
    except EngineError as exc:
        return "engine", str(exc)[:200]
    return "runs", ""


# ---- the command


def fuzz(content: bytes, rounds: int, chance: random.Random, engine: str, keep: Path) -> "collections.Counter[str]":
    """Run *rounds* damaged files; those that break something stay in the folder *keep*."""
    places = Structure(content).places
    found: "collections.Counter[str]" = collections.Counter()
    path = keep / (".now-%d.tflite" % os.getpid())
    for number in range(rounds):
        changed = damaged(content, places, chance)
        path.write_bytes(changed)
        kind, details = outcome(path, engine)
        found[kind] += 1
        if kind in ("wrong", "killed", "hangs"):
            found["%s: %s" % (kind, " ".join(details.split())[:150])] += 1
            (keep / ("%s-%d-%d.tflite" % (kind, os.getpid(), number))).write_bytes(changed)
    path.unlink()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="files, or names of %s" % ", ".join(MATERIAL))
    parser.add_argument("--rounds", type=int, default=1000, metavar="N", help="damaged files of each model")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--engine", default=None)
    parser.add_argument("--keep", default=None, metavar="FOLDER")
    args = parser.parse_args()
    from coral_classify.engine import load_engine

    engine = load_engine(args.engine).name
    keep = Path(args.keep or tempfile.mkdtemp())
    keep.mkdir(parents=True, exist_ok=True)
    seed = random.randrange(1 << 30) if args.seed is None else args.seed
    print("%s, seed %d, kept in %s" % (engine, seed, keep), flush=True)
    bad = 0
    for name in args.models or list(MATERIAL):
        content = MATERIAL[name]() if name in MATERIAL else Path(name).read_bytes()
        began = time.monotonic()
        found = fuzz(content, args.rounds, random.Random(seed), engine, keep)
        bad += found["wrong"] + found["killed"] + found["hangs"]
        print("%s: %d in %.0f s: %s" % (name, args.rounds, time.monotonic() - began,
                                        ", ".join("%d %s" % (n, what) for what, n in found.most_common())), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
