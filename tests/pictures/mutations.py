"""Pictures of every format that is read, spoilt at random but the same way each time; and what came of them.

By hand, as many as there is time for, each batch in a process of its own with bounds for memory and time::

    python tests/pictures/mutations.py --count 100000 --first 0 [--large]

A finding is an error of another kind, more than 5 s of processor time, more than 600 MB; and more than 1.3 times the
memory that Pillow alone takes for the same picture, with 8 MB for what is no picture.  --large: of 1.9 megapixels.
"""
from __future__ import annotations

import argparse
import ctypes
import io
import json
import random
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, features

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
SLOW_S, GROWTH_KB, ADDRESS_BYTES = 5.0, 600 << 10, 3 << 30
SHARE, BESIDE_KB = 1.3, 8 << 10
LIBC = ctypes.CDLL(None)


def originals(size=(61, 47)):
    """name -> bytes: pictures of every format, mode and compression.

    :param size: width, height
    """
    pixels = np.random.RandomState(1).randint(0, 256, (12, 15, 4)).astype(np.uint8)
    rgba = Image.fromarray(pixels).resize(size, Image.BICUBIC)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    noted = exif.tobytes()
    wanted = {
        "jpeg": (rgb, "JPEG", {"exif": noted}), "jpeg progressive": (rgb, "JPEG", {"progressive": True}),
        "jpeg grey": (grey, "JPEG", {}), "jpeg cmyk": (rgb.convert("CMYK"), "JPEG", {"exif": noted}),
        "jpeg restarts": (rgb, "JPEG", {"subsampling": 0, "restart_marker_blocks": 2, "icc_profile": b"x" * 300}),
        "mpo": (rgb, "MPO", {"save_all": True, "append_images": [rgb]}),
        "png": (rgb, "PNG", {"exif": noted}), "png rgba": (rgba, "PNG", {}), "png deep": (deep, "PNG", {}),
        "png palette": (rgb.quantize(40), "PNG", {"transparency": 3}), "png bits": (grey.convert("1"), "PNG", {}),
        "png la": (rgba.convert("LA"), "PNG", {"icc_profile": b"x" * 300}),
        "apng": (rgba, "PNG", {"save_all": True, "append_images": [rgba.rotate(90)]}),
        "gif": (rgb.quantize(16), "GIF", {"save_all": True, "append_images": [rgb.quantize(8)],
                                            "comment": b"x" * 600}),
        "bmp": (rgb, "BMP", {}), "bmp palette": (rgb.quantize(16), "BMP", {}),
        "webp": (rgb, "WEBP", {"exif": noted}), "webp lossless": (rgba, "WEBP", {"lossless": True}),
        "webp frames": (rgba, "WEBP", {"save_all": True, "append_images": [rgba.rotate(90)]}),
        "tiff": (rgb, "TIFF", {"tiffinfo": {274: 6}}), "tiff float": (grey.convert("F"), "TIFF", {}),
        "tiff lab": (Image.merge("LAB", rgb.split()), "TIFF", {"compression": "tiff_deflate"}),
        "tiff bits": (grey.convert("1"), "TIFF", {"compression": "group4"}),
        "tiff bits 3": (grey.convert("1"), "TIFF", {"compression": "group3"}),
        "ppm": (rgb, "PPM", {}), "pgm": (grey, "PPM", {}), "pbm": (grey.convert("1"), "PPM", {}),
        "avif": (rgb, "AVIF", {"exif": noted}), "avif rgba": (rgba, "AVIF", {}),
    }
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg"):
        wanted["tiff " + compression] = (rgb, "TIFF", {"compression": compression})
    found = {"ppm text": b"P3\n# a comment\n3 2\n255\n" + b"9 99 199\n" * 6,
             "pgm odd": b"P5 4 3 1000\n" + b"\0\x09" * 12,
             "pfm": b"Pf\n3 2\n-1.0\n" + struct.pack("<6f", *range(6)),
             "bmp rle": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 1200, 0, 0, 1078, 40, 20, 9, 1, 8, 1, 90, 0, 0, 256, 0)
             + bytes(1024) + b"\5\1\0\0\0\2\3\1\0\4abcd\x0e\7\0\0" * 6 + b"\0\1"}
    try:
        Image.open(io.BytesIO(found["pfm"])).load()
    except Exception:       # Pillow before 10.3
        del found["pfm"]
    for name, (image, form, options) in wanted.items():
        file = io.BytesIO()
        try:
            image.save(file, form, **options)
        except Exception as exc:        # this Pillow was built without it, or is too old for it
            if form not in ("AVIF", "MPO", "TIFF", "WEBP") and name != "apng":
                raise AssertionError("%s cannot be written" % name) from exc
            continue
        found[name] = file.getvalue()
    assert features.check("jpg") and len(found) > 20
    return found


def mutated(content, chance):
    """*content*, spoilt in one to four places.

    :param chance: a ``random.Random``
    """
    spoilt = bytearray(content)
    png = spoilt.startswith(b"\x89PNG")
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        how = chance.randrange(9)
        # Headers are where it hurts.
        place = chance.randrange(min(len(spoilt), chance.choice((32, 128, 1024, len(spoilt)))) or 1)
        if how == 0:
            spoilt[place:place + 1] = bytes([chance.randrange(256)])
        elif how == 1 and spoilt:
            bit = 1 << chance.randrange(8)
            spoilt[place:place + 1] = bytes([(spoilt[place] if place < len(spoilt) else 0) ^ bit])
        elif how in (2, 3, 4):
            width = chance.choice((1, 2, 4, 4, 8))
            number = chance.choice(NUMBERS) & ((1 << 8 * width) - 1)
            spoilt[place:place + width] = number.to_bytes(width, chance.choice(("little", "big")))
        elif how == 5:
            end = place + chance.randrange(1, 200)
            spoilt[place:place] = spoilt[place:end] * chance.choice((1, 2, 50, 3000))
        elif how == 6:
            del spoilt[place:place + chance.randrange(1, 64)]
        elif how == 7:
            del spoilt[chance.randrange(len(spoilt) + 1):]
        else:
            other = chance.randrange(len(spoilt) + 1)
            spoilt[place:place + 16] = spoilt[other:other + 16]
        del spoilt[4 << 20:]
    return with_sums(bytes(spoilt)) if png and chance.random() < 0.8 else bytes(spoilt)


def with_sums(content):
    """A PNG whose chunks have the right checksums again: a wrong one ends it before anything happens."""
    out, place = [content[:8]], 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place:place + 4], "big")
        if place + 12 + size > len(content):
            break
        body = content[place + 4:place + 8 + size]
        out.append(content[place:place + 4] + body + struct.pack(">I", zlib.crc32(body)))
        place += 12 + size
    return b"".join(out) + content[place:]


def cases(first, count, size=(61, 47)):
    """(number, name, bytes) of each."""
    known = sorted(originals(size).items())
    for number in range(first, first + count):
        chance = random.Random(number)
        name, content = known[number % len(known)]
        yield number, name, mutated(content, chance)


def _peak_kb(work):
    """By how much the process grows at most while *work* is done, and what came of it: an exception or None."""
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)     # what is kept from the picture before would hide what this one takes
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")         # the highest so far is forgotten
    before, came = _status_kb("VmRSS"), None
    try:
        work()
    except BaseException as exc:
        came = exc
    return _status_kb("VmHWM") - before, came


def _status_kb(name):
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith(name)).split()[1])


def _by_pillow(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()


def _declared_kb(content):
    """What Pillow's picture takes by its size and mode; 0 if it cannot be opened."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            return width * height * {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2}.get(image.mode, 4) >> 10
    except Exception:
        return 0


def child(first, count, size):
    """Prepares them, and prints what is a finding: an error of another kind, too long, too much."""
    import resource

    from coral_classify.errors import ImageError
    from coral_classify.pictures import prepare

    warnings.simplefilter("ignore")
    Image.init()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    classified, worst = 0, 0.0
    for number, name, content in cases(first, count, size):
        began = time.process_time()
        finding = None
        grown, exc = _peak_kb(lambda: prepare(content, (96, 96), fit=("squash", "crop", "pad")[number % 3]))  # noqa: B023
        took = time.process_time() - began
        if exc is None:
            classified += 1
        elif not isinstance(exc, ImageError):
            finding = "%s: %s" % (type(exc).__name__, str(exc)[:200])
        elif "\n" in str(exc) or len(str(exc)) > 1000:
            finding = "a message of %d characters" % len(str(exc))
        if took > SLOW_S:
            finding = "took %.1f s" % took
        if grown > GROWTH_KB:
            finding = "took %d MB" % (grown >> 10)
        elif grown > SHARE * _declared_kb(content) + BESIDE_KB:
            # What a decoder itself needs is none of ours, and with damage it is more than the picture.
            alone = max(_declared_kb(content), _peak_kb(lambda: _by_pillow(content))[0])        # noqa: B023
            if grown > SHARE * alone + BESIDE_KB:
                finding = "took %d MB where Pillow takes %d" % (grown >> 10, alone >> 10)
        worst = max(worst, took)
        if finding:
            print(json.dumps([number, name, finding]), flush=True)
    print(json.dumps(["done", classified, worst]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--child", action="store_true")
    args = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))
    if args.child:
        child(args.first, args.count, (1600, 1200) if args.large else (61, 47))
        return
    began, findings, pictures, readable, worst = time.time(), [], 0, 0, 0.0
    for first in range(args.first, args.first + args.count, args.batch):
        count = min(args.batch, args.first + args.count - first)
        done = subprocess.run([sys.executable, __file__, "--child", "--first", str(first), "--count", str(count)]
                              + ["--large"] * args.large, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        if not lines or lines[-1][0] != "done":
            findings.append([first, "batch", "the process ended with %d: %s" % (done.returncode, done.stderr[-300:])])
        else:
            _, some, slowest = lines.pop()
            readable, worst = readable + some, max(worst, slowest)
        findings += lines
        pictures += count
        print("%d pictures, %d of them readable, %d findings, the slowest %.2f s, %.0f s" % (
            pictures, readable, len(findings), worst, time.time() - began), flush=True)
        for finding in findings[-len(lines) or len(findings):] if lines else findings[-1:] if done.returncode else []:
            print("   ", finding, flush=True)


if __name__ == "__main__":
    main()
