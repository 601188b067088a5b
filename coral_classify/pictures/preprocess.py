"""A picture -> the pixels that the model wants to see.  Pillow and NumPy: open (scaled while decoding),
upright (EXIF), region, rotate, fit, resize.

Knows nothing of quantization (see :mod:`coral_classify.pictures.normalization`), engines or devices.
"""
from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, BinaryIO, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image

from .. import arguments
from ..errors import ImageError
from . import exif, surveys
from .limits import DEFAULT, Limits
from .opening import Opened, look_at, opened, renamed
from .reduction import reduced
from .scalable import Scalable

__all__ = ["Picture", "Prepared", "FITS", "name_of", "prepare", "check_region", "check_rotate"]

Picture = Union[str, "os.PathLike[str]", bytes, BinaryIO, "Image.Image", "np.ndarray[Any, Any]", Scalable]
Box = Tuple[float, float, float, float]     # left, top, right, bottom

FITS = ("squash", "crop", "pad")
# EXIF orientation -> (mirror left-right first, then quarter turns clockwise)
_ORIENTATIONS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 3), 6: (False, 1), 7: (True, 1), 8: (False, 3)}
# Threads that decode ahead would take the memory of a board with a few large pictures: of those that take more than
# this one is decoded at a time, while small ones go on.
_LARGE_BYTES = 48 << 20
_one_large = threading.Lock()
_SCALED = ("JPEG", "MPO")         # formats whose decoder can scale
_ENOUGH = 2.0       # pixels of a scalable picture for each that is wanted, along each side
_TRANSPOSE: Any = getattr(Image, "Transpose", Image)        # Pillow before 9.1 has the names in Image itself
_TURNS = {1: _TRANSPOSE.ROTATE_270, 2: _TRANSPOSE.ROTATE_180, 3: _TRANSPOSE.ROTATE_90}  # it turns the other way


class Prepared(NamedTuple):
    """Pixels at the model's size, and how they came about."""

    pixels: "np.ndarray[Any, Any]"      # (height, width, 3) uint8
    source_size: Tuple[int, int]        # (width, height) as stored
    decoded_size: Tuple[int, int]       # (width, height) after scaled decoding
    orientation: str
    region: Optional[Tuple[int, int, int, int]]     # x, y, w, h in upright source pixels


def name_of(picture: Picture) -> str:
    """What to call a picture in results and messages."""
    if isinstance(picture, (str, os.PathLike)):
        return os.fspath(picture)
    if isinstance(picture, bytes):
        return "<%d bytes>" % len(picture)
    if isinstance(picture, np.ndarray):
        return "<array %s>" % (picture.shape,)
    name = getattr(picture, "filename", None) or getattr(picture, "name", None)
    return name if isinstance(name, str) and name else "<%s>" % type(picture).__name__


def check_rotate(degrees: int) -> int:
    """Quarter turns clockwise, 0 to 3.

    :raises UsageError: if *degrees* is no multiple of 90
    """
    wanted = "a multiple of 90 degrees (clockwise)"
    if arguments.number("rotate", degrees) % 90:
        raise arguments.wrong("rotate", wanted, degrees)
    return int(degrees // 90) % 4


def check_region(region: Sequence[float]) -> Tuple[float, float, float, float]:
    """x, y, width, height of a region of interest, in pixels, or all as fractions of the picture.

    :raises UsageError: unless four finite numbers with a positive size
    """
    wanted = "x,y,width,height with a positive size"
    values = arguments.numbers_of("region", region, wanted, (4,))
    if min(values[:2]) < 0 or min(values[2:]) <= 0:
        raise arguments.wrong("region", wanted, region)
    return values[0], values[1], values[2], values[3]


def prepare(
    picture: Picture,
    size: Tuple[int, int],
    *,
    fit: str = "squash",
    region: Optional[Sequence[float]] = None,
    rotate: int = 0,
    fill: Tuple[int, int, int] = (127, 127, 127),
    limits: Limits = DEFAULT,
) -> Prepared:
    """Pixels of *picture* at *size*.

    :param size: (width, height) of the model's input
    :param fit: "squash" stretches, "crop" keeps the middle at the input's aspect, "pad" fits all in and fills up
    :param region: x, y, w, h of the upright picture, in pixels, or as fractions where all four are ≤ 1
    :param rotate: degrees clockwise, a multiple of 90, after EXIF and region
    :param fill: colour beside the picture with fit="pad"
    :param limits: what it may take to decode; for a picture that is decoded already there are none
    :raises ImageError: if the picture cannot be read, takes too much, or the region lies outside it
    :raises UsageError: for an unknown fit, region or angle
    """
    arguments.choice("fit", fit, FITS)
    turns = check_rotate(rotate)
    if region is not None:
        region = check_region(region)
    if isinstance(picture, np.ndarray):
        _check_array(picture)
        if picture.shape == (size[1], size[0], 3) and region is None and not turns:
            return Prepared(picture, size, size, "none", None)
    view = _View(size, fit, region, turns, fill)
    if isinstance(picture, Scalable):
        return view.of(picture.at(view.enough(picture.size)), 1, name_of(picture), picture.size)
    name = name_of(picture)
    with renamed(picture, name):
        if isinstance(picture, np.ndarray):
            return view.of(picture, 1, name)
        if isinstance(picture, Image.Image):
            path = _undecoded_file(picture)
            if path is None:
                return _of_the_caller(picture, view, limits, name)
            picture = path
        with opened(picture, name, limits) as ours:
            return _decoded(ours, view, limits, name)


def _check_array(array: "np.ndarray[Any, Any]") -> None:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ImageError("array %s %s: a picture is (height, width, 3) uint8, red first"
                         % (array.shape, array.dtype))


def _undecoded_file(image: "Image.Image") -> Optional[str]:
    """The JPEG that the caller opened and nobody has decoded: opened anew, it may be scaled while decoding."""
    path = getattr(image, "filename", None)
    untouched = image.format == "JPEG" and getattr(image, "tile", None) and not getattr(image, "decoderconfig", None)
    return path if untouched and isinstance(path, str) and os.path.isfile(path) else None


def _of_the_caller(image: "Image.Image", view: "_View", limits: Limits, name: str) -> Prepared:
    """A picture that the caller opened, and may have decoded; it stays as it is, but for being decoded."""
    if getattr(image, "tile", None):
        found, file = surveys.Survey(), getattr(image, "fp", None)
        if file is not None and image.format in surveys.FORMATS:
            place = file.tell()
            found = surveys.survey(file, image.format, limits)
            file.seek(place)
        limits.check(image.size, look_at(image, found).needed())
        image.load()
    return view.of(image, _exif_orientation(image), name)


def _decoded(ours: Opened, view: "_View", limits: Limits, name: str) -> Prepared:
    """A picture that we opened: decoded within the limits, and no larger than it is needed."""
    image = ours.image
    if image.format in _SCALED:
        size, code = image.size, _exif_orientation(image)
        view.draft(image, code, name)
        limits.check(image.size, ours.needed())
        with _one_large if ours.needed() > _LARGE_BYTES else contextlib.nullcontext():
            return view.of(image, code, name, size)
    limits.check(image.size, ours.needed())
    with _one_large if ours.needed() > _LARGE_BYTES else contextlib.nullcontext():
        image.load()
        if image.format != "TIFF":
            return view.of(image, _exif_orientation(image), name)   # that of a PNG may stand behind its pixels
        mirror, turns = _ORIENTATIONS.get(ours.found.orientation, (False, 0))
        size = image.size[::-1] if turns % 2 else image.size
        return view.of(image, 1, name)._replace(source_size=size, decoded_size=size,
                                                orientation=_describe(mirror, turns))


def _exif_orientation(image: "Image.Image") -> int:
    if image.format == "TIFF":      # Pillow turns it upright while decoding, whatever its tags say afterwards
        return 1
    content = image.info.get("exif")
    if isinstance(content, bytes) and content:
        code = exif.orientation(content)
        if code != 1:
            return code
    # XMP says it in words, and pictures that the caller made may know it from elsewhere.
    if image.format in ("PNG", "WEBP") or "exif" in image.info:
        try:
            return int(image.getexif().get(exif.ORIENTATION, 1))
        except Exception:       # damaged EXIF is no reason to refuse the pixels
            pass
    return 1


class _View(NamedTuple):
    """What of a picture the model is to see, and how."""

    size: Tuple[int, int]
    fit: str
    region: Optional[Sequence[float]]
    turns: int                      # quarter turns clockwise, after EXIF and region
    fill: Tuple[int, int, int]

    def of(self, picture: Any, code: int, name: str, source_size: Optional[Tuple[int, int]] = None) -> Prepared:
        """
        :param picture: decoded: a PIL image or an array
        :param code: of EXIF's orientation
        :param source_size: (width, height) before it was scaled while decoding; None: it was not
        """
        decoded_size = picture.shape[1::-1] if isinstance(picture, np.ndarray) else picture.size
        source_size = source_size or decoded_size
        mirror, exif_turns = _ORIENTATIONS.get(code, (False, 0))
        box, stored_box, inner = self._place(source_size, code, name)
        scale_x, scale_y = decoded_size[0] / source_size[0], decoded_size[1] / source_size[1]
        small = reduced(picture, inner, (stored_box[0] * scale_x, stored_box[1] * scale_y,
                                         stored_box[2] * scale_x, stored_box[3] * scale_y))
        if mirror:
            small = small.transpose(_TRANSPOSE.FLIP_LEFT_RIGHT)
        if (exif_turns + self.turns) % 4:
            small = small.transpose(_TURNS[(exif_turns + self.turns) % 4])
        if self.fit == "pad" and small.size != self.size:
            canvas = Image.new("RGB", self.size, self.fill)
            canvas.paste(small, ((self.size[0] - small.size[0]) // 2, (self.size[1] - small.size[1]) // 2))
            small = canvas
        region = None if self.region is None else (
            int(round(box[0])), int(round(box[1])), int(round(box[2] - box[0])), int(round(box[3] - box[1])))
        return Prepared(np.asarray(small), source_size, decoded_size, _describe(mirror, exif_turns), region)

    def draft(self, image: "Image.Image", code: int, name: str) -> None:
        """Let the JPEG decoder scale by 1/2, 1/4 or 1/8, never below the size that is wanted."""
        _, box, inner = self._place(image.size, code, name)
        wanted = max(inner[0] / (box[2] - box[0]), inner[1] / (box[3] - box[1]))
        if wanted < 0.5:
            image.draft(None, (int(np.ceil(image.size[0] * wanted)), int(np.ceil(image.size[1] * wanted))))

    def enough(self, source_size: Tuple[int, int]) -> Tuple[int, int]:
        """(width, height) that suffices of a picture that can be had smaller: of what is seen, twice what is wanted, or
        more.  A JPEG that is scaled while it is decoded differs as much from the whole one: 0.7 of 255 in the mean."""
        _, box, inner = self._place(source_size, 1, "picture")
        across = max(1, int((box[2] - box[0]) / inner[0] / _ENOUGH))
        down = max(1, int((box[3] - box[1]) / inner[1] / _ENOUGH))
        return -(-source_size[0] // across), -(-source_size[1] // down)

    def _place(self, source_size: Tuple[int, int], code: int, name: str) -> Tuple[Box, Box, Tuple[int, int]]:
        """The region in the upright picture; what is seen in the axes of the stored one, and the size that it gets
        there: the few pixels that are left are turned last."""
        if 0 in source_size:
            raise ImageError("image %s: has no pixels (%d x %d)" % ((name,) + source_size))
        mirror, exif_turns = _ORIENTATIONS.get(code, (False, 0))
        upright = source_size[::-1] if exif_turns % 2 else source_size
        region = (0.0, 0.0) + upright if self.region is None else _region_box(self.region, upright, name)
        box = region
        # What the model sees, in the axes of the upright picture (a quarter turn swaps the model's sides).
        inner = target = self.size[::-1] if self.turns % 2 else self.size
        if self.fit == "crop":
            box = _central(box, target)
        elif self.fit == "pad":
            inner = _inscribed(box, target)
        return region, _to_stored(box, upright, mirror, exif_turns), inner[::-1] if exif_turns % 2 else inner


def _describe(mirror: bool, turns: int) -> str:
    words = (["mirrored"] if mirror else []) + (["rotated %d clockwise" % (90 * turns)] if turns else [])
    return ", ".join(words) or "none"


def _region_box(region: Sequence[float], size: Tuple[int, int], name: str) -> Box:
    x, y, w, h = region
    if max(region) <= 1.0:      # fractions
        x, y, w, h = x * size[0], y * size[1], w * size[0], h * size[1]
    box = (x, y, min(x + w, float(size[0])), min(y + h, float(size[1])))
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise ImageError("image %s: region %s leaves no pixel of the %d x %d picture"
                         % (name, ",".join("%g" % v for v in region), size[0], size[1]))
    return box


def _central(box: Box, target: Tuple[int, int]) -> Box:
    """The largest part with the aspect of *target* about the middle of *box*."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(width / target[0], height / target[1])
    left, top = box[0] + (width - scale * target[0]) / 2, box[1] + (height - scale * target[1]) / 2
    return left, top, left + scale * target[0], top + scale * target[1]


def _inscribed(box: Box, target: Tuple[int, int]) -> Tuple[int, int]:
    """The largest size with the aspect of *box* inside *target*."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(target[0] / width, target[1] / height)
    return max(1, min(target[0], int(round(width * scale)))), max(1, min(target[1], int(round(height * scale))))


def _to_stored(box: Box, upright: Tuple[int, int], mirror: bool, turns: int) -> Box:
    """A box of the upright picture, in the axes of the stored one: undo the turns, then the mirror."""
    width, height = upright
    for _ in range(turns):
        # A quarter turn clockwise takes stored (x, y) to (stored height - y, x); this is its inverse.
        box = (box[1], width - box[2], box[3], width - box[0])
        width, height = height, width
    if mirror:
        box = (width - box[2], box[1], width - box[0], box[3])
    return box
