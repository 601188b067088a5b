"""What is measured with: pictures made from one, and simulated accelerators with a small model for them."""
from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import List, NamedTuple, Optional

from figures import LeftOut
from PIL import Image

from coral_classify.errors import EngineNotFound
from coral_classify.testing import build_driver
from coral_classify.testing.small_models import colours

CHECKOUT = Path(__file__).resolve().parent.parent


class Material(NamedTuple):
    model: str
    picture: str            # a JPEG of some 512 x 929
    large: str              # the same with 12 megapixels
    many: str               # folder: copies of the picture, each a file of its own
    small: List[str]        # files: the picture at half its size, quick to decode
    threads: int            # of the engine
    rounds: int
    python: str             # that runs this package, the barest script and PyCoral's way


def make(folder: Path, model: str, picture: Optional[str], *, threads: int, rounds: int, count: int) -> Material:
    """:param picture: None: one of the examples, enlarged
    :param count: pictures in a folder
    """
    if picture is None:
        picture = str(folder / "picture.jpg")
        example = Image.open(str(CHECKOUT / "examples" / "chelsea.png")).convert("RGB")
        example.resize((512, 929), Image.LANCZOS).save(picture, quality=90)
    image = Image.open(picture).convert("RGB")
    large, many, less = folder / "large.jpg", folder / "many", folder / "small"
    image.resize((4000, 3000), Image.LANCZOS).save(str(large), quality=90)
    many.mkdir()
    less.mkdir()
    half = image.resize((image.width // 2, image.height // 2), Image.LANCZOS)
    for i in range(count):
        shutil.copyfile(picture, str(many / ("%04d.jpg" % i)))
        half.save(str(less / ("%04d.jpg" % i)), quality=90)
    return Material(os.path.abspath(model), os.path.abspath(picture), str(large), str(many),
                    sorted(str(path) for path in less.iterdir()), threads, rounds, sys.executable)


def simulate(folder: Path, *, devices: int, invoke_ms: int) -> str:
    """Attach simulated accelerators to this process and those that it starts.

    :returns: the path of a compiled classifier of 224 x 224 pixels
    :raises LeftOut: without a C compiler
    """
    library, model = folder / "libedgetpu.so.1", folder / "colours_edgetpu.tflite"
    try:
        build_driver(library)
    except EngineNotFound as exc:
        raise LeftOut(str(exc)) from exc
    model.write_bytes(colours(size=(224, 224), compiled=True))
    os.environ.update(CORAL_CLASSIFY_LIBEDGETPU=str(library), SIM_INVOKE_MS=str(invoke_ms),
                      SIM_DEVICES=",".join(["usb"] * devices))
    return str(model)
