"""A picture -> the pixels that the model wants to see.  Pillow and NumPy: open (scaled while decoding),
upright (EXIF), region, rotate, fit, resize.

Knows nothing of quantization (see :mod:`coral_classify.pictures.normalization`), engines or devices.
"""
from __future__ import annotations

import contextlib
import io
import os
import stat
import threading
from typing import Any, BinaryIO, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL import __version__ as pillow_version

from ..errors import ImageError, UsageError

__all__ = ["Picture", "Prepared", "FITS", "name_of", "prepare", "check_region", "check_rotate"]

Picture = Union[str, "os.PathLike[str]", bytes, BinaryIO, "Image.Image", "np.ndarray[Any, Any]"]
Box = Tuple[float, float, float, float]     # left, top, right, bottom

FITS = ("squash", "crop", "pad")
# The filter of pycoral's documented way.  The published models' reference scores hold with it (facts in
# tests/test_reference_scores.py); bilinear misses the one of MobileNet v1 0.25.
_FILTER: Any = getattr(Image, "Resampling", Image).LANCZOS
_BACKGROUND = (255, 255, 255)       # behind transparent pixels: what viewers show
# EXIF orientation -> (mirror left-right first, then quarter turns clockwise)
_ORIENTATIONS = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 3), 6: (False, 1), 7: (True, 1), 8: (False, 3)}
# Threads that decode ahead would take the memory of a board with a few pictures of 100 megapixels: of those larger than
# this (Pillow takes 4 bytes a pixel) one is decoded at a time, while small ones go on.
_LARGE_BYTES = 96 << 20
_one_large = threading.Lock()
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
    if degrees % 90:
        raise UsageError("rotate must be a multiple of 90 degrees (clockwise), got %r" % (degrees,))
    return int(degrees // 90) % 4


def check_region(region: Sequence[float]) -> Tuple[float, float, float, float]:
    """x, y, width, height of a region of interest, in pixels, or all as fractions of the picture.

    :raises UsageError: unless four finite numbers with a positive size
    """
    values = tuple(float(v) for v in region)
    if len(values) != 4 or not all(np.isfinite(values)) or min(values[:2]) < 0 or min(values[2:]) <= 0:
        raise UsageError("region must be x,y,width,height with a positive size, got %r" % (tuple(region),))
    return values[0], values[1], values[2], values[3]


def prepare(
    picture: Picture,
    size: Tuple[int, int],
    *,
    fit: str = "squash",
    region: Optional[Sequence[float]] = None,
    rotate: int = 0,
    fill: Tuple[int, int, int] = (127, 127, 127),
) -> Prepared:
    """Pixels of *picture* at *size*.

    :param size: (width, height) of the model's input
    :param fit: "squash" stretches, "crop" keeps the middle at the input's aspect, "pad" fits all in and fills up
    :param region: x, y, w, h of the upright picture, in pixels, or as fractions where all four are ≤ 1
    :param rotate: degrees clockwise, a multiple of 90, after EXIF and region
    :param fill: colour beside the picture with fit="pad"
    :raises ImageError: if the picture cannot be read, or the region lies outside it
    :raises UsageError: for an unknown fit, region or angle
    """
    if fit not in FITS:
        raise UsageError("fit must be one of %s, got %r" % (", ".join(FITS), fit))
    turns = check_rotate(rotate)
    if region is not None:
        region = check_region(region)
    if isinstance(picture, np.ndarray):
        _check_array(picture)
        if picture.shape == (size[1], size[0], 3) and region is None and not turns:
            return Prepared(picture, size, size, "none", None)
        picture = Image.fromarray(picture)
    name = name_of(picture)
    with _renamed(picture, name):
        if isinstance(picture, Image.Image):
            path = _undecoded_file(picture)
            if path is None:
                return _prepare(picture, size, fit, region, turns, fill, name)
            picture = path
        with Image.open(_file_of(picture, name)) as image:
            return _prepare(image, size, fit, region, turns, fill, name, ours=True)


def _check_array(array: "np.ndarray[Any, Any]") -> None:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ImageError("array %s %s: a picture is (height, width, 3) uint8, red first"
                         % (array.shape, array.dtype))


def _undecoded_file(image: "Image.Image") -> Optional[str]:
    """The JPEG that the caller opened and nobody has decoded: opened anew, it may be scaled while decoding."""
    path = getattr(image, "filename", None)
    untouched = image.format == "JPEG" and getattr(image, "tile", None) and not getattr(image, "decoderconfig", None)
    return path if untouched and isinstance(path, str) and os.path.isfile(path) else None


def _file_of(picture: Union[str, "os.PathLike[str]", bytes, BinaryIO], name: str) -> Any:
    """What Pillow can open: a path, or something to seek in."""
    if isinstance(picture, bytes):
        return io.BytesIO(picture)
    if isinstance(picture, (str, os.PathLike)):
        return io.BytesIO(_piped(picture, name)) if stat.S_ISFIFO(os.stat(picture).st_mode) else picture
    if not hasattr(picture, "read"):
        raise ImageError("%s: is no picture; give a path, bytes, a binary file object, a PIL image or an array" % name)
    return picture if _seekable(picture) else io.BytesIO(picture.read())    # a pipe: Pillow needs to seek


def _piped(path: Union[str, "os.PathLike[str]"], name: str) -> bytes:
    """What comes out of a named pipe.  One that nobody writes to would be waited for, for ever."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:
        first = pipe.read(1)
        if first == b"":
            raise ImageError("image %s: is a pipe that nobody writes to; give the picture on standard input: -" % name)
        os.set_blocking(pipe.fileno(), True)
        return (first or b"") + pipe.readall()


@contextlib.contextmanager
def _renamed(picture: Any, name: str) -> Iterator[None]:
    """What goes wrong while a picture is opened and decoded, as an :class:`ImageError` that names it."""
    try:
        yield
    except (ImageError, UsageError):
        raise
    except FileNotFoundError as exc:
        raise ImageError("image %s: no such file" % name) from exc
    except IsADirectoryError as exc:
        raise ImageError("image %s: is a folder; give the pictures in it" % name) from exc
    except PermissionError as exc:
        raise ImageError("image %s: no permission to read it" % name) from exc
    except Image.DecompressionBombError as exc:
        raise ImageError("image %s: too many pixels to decode safely (%s); scale it down first" % (name, exc)) from exc
    except UnidentifiedImageError as exc:
        raise ImageError("image %s: %s" % (name, _why_unidentified(picture))) from exc
    except MemoryError as exc:
        raise ImageError("image %s: not enough memory to decode it; scale it down first" % name) from exc
    except Exception as exc:    # Pillow's decoders raise OSError, SyntaxError, struct.error, ValueError, …
        if isinstance(exc, OSError) and exc.errno is not None:      # the system's, not a decoder's
            raise ImageError("image %s: cannot be read: %s" % (name, exc.strerror or exc)) from exc
        raise ImageError("image %s: cannot be decoded (%s); it is damaged or cut short, copy or download it again"
                         % (name, str(exc) or type(exc).__name__)) from exc


def _seekable(file: Any) -> bool:
    return bool(getattr(file, "seekable", lambda: hasattr(file, "seek"))())


def _why_unidentified(picture: Any) -> str:
    if isinstance(picture, bytes):
        empty = not picture
    elif isinstance(picture, (str, os.PathLike)):
        empty = os.path.isfile(picture) and os.path.getsize(picture) == 0
    elif _seekable(picture):
        picture.seek(0)
        empty = not picture.read(1)
    else:
        empty = False
    return "is empty; copy or download it again" if empty else \
        "not a picture in a format that Pillow %s reads" % pillow_version


def _prepare(
    image: "Image.Image", size: Tuple[int, int], fit: str, region: Optional[Sequence[float]], turns: int,
    fill: Tuple[int, int, int], name: str, ours: bool = False,
) -> Prepared:
    source_size = image.size
    if 0 in source_size:
        raise ImageError("image %s: has no pixels (%d x %d)" % ((name,) + source_size))
    code = _exif_orientation(image)
    mirror, exif_turns = _ORIENTATIONS.get(code, (False, 0))
    upright_size = source_size[::-1] if exif_turns % 2 else source_size
    box = (0.0, 0.0) + upright_size if region is None else _region_box(region, upright_size, name)
    # What the model sees, in the axes of the upright picture (a quarter turn swaps the model's sides).
    target = size[::-1] if turns % 2 else size
    pixels_region = None if region is None else (
        int(round(box[0])), int(round(box[1])), int(round(box[2] - box[0])), int(round(box[3] - box[1])))
    inner = target
    if fit == "crop":
        box = _central(box, target)
    elif fit == "pad":
        inner = _inscribed(box, target)
    # From here on in the axes of the stored picture: resize first, turn the few pixels that are left.
    stored_box = _to_stored(box, upright_size, mirror, exif_turns)
    stored_inner = inner[::-1] if exif_turns % 2 else inner
    if ours:    # the caller's own picture would be a smaller one afterwards
        _draft(image, stored_box, stored_inner)
    decoded_size = image.size
    scale_x, scale_y = decoded_size[0] / source_size[0], decoded_size[1] / source_size[1]
    scaled = (stored_box[0] * scale_x, stored_box[1] * scale_y, stored_box[2] * scale_x, stored_box[3] * scale_y)
    large = 4 * decoded_size[0] * decoded_size[1] > _LARGE_BYTES
    with _one_large if large else contextlib.nullcontext():
        small = _resize(_to_rgb(image), stored_inner, scaled)
    if mirror:
        small = small.transpose(_TRANSPOSE.FLIP_LEFT_RIGHT)
    if (exif_turns + turns) % 4:
        small = small.transpose(_TURNS[(exif_turns + turns) % 4])
    if fit == "pad" and small.size != size:
        canvas = Image.new("RGB", size, fill)
        canvas.paste(small, ((size[0] - small.size[0]) // 2, (size[1] - small.size[1]) // 2))
        small = canvas
    return Prepared(np.asarray(small), source_size, decoded_size, _describe(mirror, exif_turns), pixels_region)


def _exif_orientation(image: "Image.Image") -> int:
    # JPEG and friends carry EXIF in `info`; asking the others (getexif) would decode a whole PNG to find none.
    try:
        if image.format in ("PNG", "TIFF", "WEBP") or "exif" in image.info:
            return int(image.getexif().get(0x0112, 1))
    except Exception:       # damaged EXIF is no reason to refuse the pixels
        pass
    return 1


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


def _draft(image: "Image.Image", box: Box, inner: Tuple[int, int]) -> None:
    """Let the JPEG decoder scale by 1/2, 1/4 or 1/8, never below the size that is wanted."""
    wanted = max(inner[0] / (box[2] - box[0]), inner[1] / (box[3] - box[1]))
    if wanted < 0.5:
        image.draft(None, (int(np.ceil(image.size[0] * wanted)), int(np.ceil(image.size[1] * wanted))))


def _to_rgb(image: "Image.Image") -> "Image.Image":
    mode = image.mode
    if mode == "RGB":
        image.load()
        return image
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, _BACKGROUND)
        canvas.paste(rgba, mask=rgba.getchannel("A"))
        return canvas
    if mode.startswith("I") or mode == "F":
        return _deep_to_rgb(image)
    return image.convert("RGB")


def _deep_to_rgb(image: "Image.Image") -> "Image.Image":
    """16- and 32-bit grey.  Pillow's own conversion clips at 255, which turns most such pictures white."""
    values = np.asarray(image, dtype=np.float64)
    top = float(values.max()) if np.isfinite(values).all() else 0.0
    if image.mode.startswith("I;16") or (image.mode == "I" and 255 < top <= 65535):
        values = values / 257.0                 # 65535 -> 255
    elif image.mode == "F" and 0.0 < top <= 1.0:
        values = values * 255.0
    elif top > 255:
        values = values * (255.0 / top)
    grey = np.clip(np.rint(np.nan_to_num(values)), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _resize(image: "Image.Image", size: Tuple[int, int], box: Box) -> "Image.Image":
    box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(image.size[0])), min(box[3], float(image.size[1])))
    if image.size == size and box == (0.0, 0.0, float(size[0]), float(size[1])):
        return image
    # Far larger pictures are first shrunk by whole factors, down to three times the size: Pillow's documentation
    # calls that indistinguishable, and it takes a fraction of the time.
    return image.resize(size, _FILTER, box=box, reducing_gap=3.0)
