"""``coral-classify models``: list, pull, describe, verify, remove and add models."""
from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from .downloading import progress
from .showing import complain, printable

if TYPE_CHECKING:
    from ..modelfiles import Passport
    from ..types import TensorSpec

__all__ = ["main"]


def main(argv: List[str]) -> int:
    args = _parser().parse_args(argv)
    from ..errors import CoralClassifyError

    try:
        return int(args.run(args)) if args.action else _list()
    except CoralClassifyError as exc:
        return complain(exc)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coral-classify models", description="Models by name: published, and yours.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    table = actions.add_parser("list", help="the table of models (also without an action)")
    table.set_defaults(run=lambda args: _list())
    pull = actions.add_parser("pull", help="bring the files of a model here, verified")
    pull.add_argument("names", nargs="+", metavar="NAME")
    pull.add_argument("--from", dest="source", metavar="FOLDER|URL", help="take the files from there")
    pull.set_defaults(run=lambda args: _pull(args.names, args.source))
    info = actions.add_parser("info", help="what is known of a model, what its file says, what is assumed")
    info.add_argument("model", metavar="NAME|FILE")
    info.add_argument("--json", action="store_true", help="one JSON object")
    info.set_defaults(run=lambda args: _info(args.model, args.json))
    verify = actions.add_parser("verify", help="check the content of the models that are here")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all that are here")
    verify.set_defaults(run=lambda args: _verify(args.names))
    remove = actions.add_parser("remove", help="delete the files of a model")
    remove.add_argument("names", nargs="+", metavar="NAME")
    remove.set_defaults(run=lambda args: _remove(args.names))
    add = actions.add_parser("add", help="keep a model of your own under a name")
    add.add_argument("file", metavar="FILE", help=".tflite; its twin or compiled file beside it comes along")
    add.add_argument("--labels", metavar="FILE")
    add.add_argument("--mean", type=float, metavar="M", help="(pixel - mean) / std is what it was trained on")
    add.add_argument("--std", type=float, metavar="S")
    add.add_argument("--label-offset", type=int, default=0, metavar="N", help="lines of the label file to skip")
    add.add_argument("--name", metavar="NAME", help="default: the file's name")
    add.set_defaults(run=_add)
    return parser


def _list() -> int:
    from ..modelfiles import passports
    from ..zoo import installed

    row = "%-22s %8s %6s %7s %6s %8s  %-5s %s"
    print(row % ("name", "classes", "input", "top-1 %", "MB", "USB ms", "here", "title"))
    for passport in passports.known():
        if passport.kind != "classification":
            continue
        path = installed(passport)
        accuracy = (passport.accuracy or {}).get("top1_quantized")
        latency = (passport.latency_ms or {}).get("usb_accelerator")
        print(row % (passport.name, passport.classes or "", passport.input_size or "",
                     "%.1f" % accuracy if accuracy else "", "%.1f" % (path.stat().st_size / 1e6) if path else "",
                     "%g" % latency if latency else "", "yes" if path else "no", passport.title))
    print("(top-1 and ms as published; MB of the file that is here)")
    return 0


def _pull(names: List[str], source: Optional[str]) -> int:
    from ..errors import ZooError
    from ..zoo import by_name, files_of, pull, shown

    code = 0
    for name in names:
        try:
            missing = pull(name, source, progress)
        except ZooError as exc:
            print("coral-classify: %s" % printable(str(exc)), file=sys.stderr)
            code = 1
            continue
        passport = by_name(name)
        assert passport is not None     # pull() knows it
        for wanted in files_of(passport):
            if wanted in missing:
                print("coral-classify: %s is not in %s; without it %s runs on %s" % (
                    wanted.name, shown(source), name, "the CPU only" if wanted.name.endswith("_edgetpu.tflite")
                    else "an Edge TPU only" if wanted.kind == "models" else "without class names"), file=sys.stderr)
            elif wanted.target.exists():
                print("%s: %s" % (name, wanted.target))
            else:
                print("%s: in the package" % name)
    return code


def _verify(names: List[str]) -> int:
    from ..errors import ZooError
    from ..modelfiles import passports
    from ..zoo import by_name, damaged, installed

    here = [passport.name for passport in passports.known() if installed(passport)]
    code = 0
    for name in names or here:
        bad = damaged(name)
        passport = by_name(name)
        assert passport is not None     # damaged() knows it
        if installed(passport) is None:
            raise ZooError("%s: is not here; bring it with: coral-classify models pull %s" % (name, name))
        for wanted in bad:
            print("coral-classify: %s: %s is damaged; %s" % (name, wanted.target, "add it again" if passport.own else
                                                             "coral-classify models pull %s mends it" % name),
                  file=sys.stderr)
            code = 1
        if not bad:
            print("%s: ok" % name)
    return code


def _remove(names: List[str]) -> int:
    from ..zoo import remove

    for name in names:
        for path in remove(name):
            print("%s: deleted %s" % (name, path))
    return 0


def _add(args: argparse.Namespace) -> int:
    from ..zoo import add

    passport = add(args.file, labels=args.labels, mean=args.mean, std=args.std, name=args.name,
                   label_offset=args.label_offset)
    print("%s: %d classes, %s; use it with --model %s" % (
        passport.name, passport.classes or 0, " and ".join(sorted(passport.files)), passport.name))
    return 0


def _info(model: str, as_json: bool) -> int:
    from ..errors import ZooError
    from ..modelfiles import inspect, passports
    from ..zoo import by_name, installed

    path: Optional[Path] = Path(model)
    passport = by_name(model)
    if passport is not None:
        path = installed(passport)
    elif os.path.isfile(model):
        try:
            passport = passports.by_file(Path(model))
        except OSError as exc:
            raise ZooError("%s: cannot be read: %s" % (model, exc.strerror or exc)) from exc
    else:
        raise ZooError("%s: no such file, and no model of that name; coral-classify models lists them" % model)
    file = _read(path, passport) if path else {}
    if as_json:
        print(json.dumps({"passport": _described(passport) if passport else None, "path": str(path) if path else None,
                          "file": file or None, "inspection": inspect(path).to_dict() if path else None}, indent=1))
        return 0
    print("known" if passport else "known: nothing; this content is no published model's, and none of yours")
    for key, value in (_described(passport) if passport else {}).items():
        if key == "files":
            value = ", ".join("%s (git blob %s)" % (pin["name"], pin["git_blob"]) for pin in value.values())
        print("  %-16s %s" % (key, value))
    if path is None:
        print("file: not here; coral-classify models pull %s" % model)
        return 0
    print("read from %s" % path)
    for key, value in list(file.items()) + list(inspect(path).described().items()):
        print("  %-16s %s" % (key, value))
    return 0


def _described(passport: "Passport") -> Dict[str, Any]:
    """The passport's fields that say something."""
    return {key: value for key, value in passport._asdict().items()
            if value not in (None, "", False) and key not in ("label_pin", "own")}


def _read(path: Path, passport: "Optional[Passport]") -> Dict[str, str]:
    """What the file says, and what is assumed where neither it nor a passport says anything."""
    from ..errors import ModelError
    from ..modelfiles import labels_for, read_model
    from ..pictures import choose

    said: Dict[str, str] = {}
    try:
        file = read_model(path)
    except ModelError as exc:
        said["classifier"] = "no: %s" % exc
    else:
        given = (passport.mean, passport.std, passport.name) \
            if passport and passport.mean is not None and passport.std is not None else None
        normalization = choose(file.input, passport=given, metadata=file.normalization)
        labels = labels_for(file, passport, None)
        if not labels and passport is None and file.features:
            said["classifier"] = "no: it gives features, not classes (%s)" % file.features
        said["input"], said["output"] = _spec(file.input), _spec(file.output)
        said["labels"] = "%d, from %s to %s" % (len(labels), labels[0], labels[-1]) if labels else "none: ids are shown"
        said["normalization"] = "mean %s, std %s: %s%s" % (
            ",".join("%g" % m for m in normalization.mean), ",".join("%g" % s for s in normalization.std),
            normalization.source, " (assumed: %s)" % normalization.warning if normalization.warning else "")
    return said


def _spec(spec: "TensorSpec") -> str:
    quantized = ", scale %g, zero point %d" % spec.quantization if spec.quantization.scale else ""
    return "%s %s%s" % (" x ".join(map(str, spec.shape)), spec.dtype, quantized)
