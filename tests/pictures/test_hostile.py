"""What a picture may take: memory, time, and nothing else of the machine."""
from __future__ import annotations

import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from hostile import chunk, encoded, greedy_directory, png, progressive_jpeg, segment, tiff
from PIL import Image, features

from coral_classify.errors import ImageError, UsageError
from coral_classify.pictures import Limits, jpeg, limits, prepare, surveys
from coral_classify.pictures.opening import opened

MEGA = 1 << 20
# Decoded by Pillow, or prepared by us, in a process of its own; the megabytes that its memory grew by.
MEASURED = """
import sys
from PIL import Image
import numpy
from coral_classify.pictures import Limits, prepare
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
Image.init()
Image.MAX_IMAGE_PIXELS = None
path, how = sys.argv[1:]
prepare(numpy.zeros((99, 99, 3), numpy.uint8), (96, 96))
before = peak()
if how == "pillow":
    Image.open(path).load()
else:
    prepare(path, (96, 96), limits=Limits(10 ** 9, 10 ** 10))
print(peak() - before)
"""


def peak_kb(path, how):
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    return int(subprocess.check_output([sys.executable, "-c", MEASURED, str(path), how], env=environment))


def of_mode(mode, size):
    width, height = size
    if mode == "I;16":
        return Image.fromarray(np.full((height, width), 3000, np.uint16))
    if mode == "P with transparency":
        image = Image.new("L", size, 3).convert("P")
        image.info["transparency"] = 3
        return image
    return Image.new(mode, size, 1)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of a process's memory is read from /proc")
@pytest.mark.parametrize("mode, form, size", [
    *((mode, "png", (6000, 5000)) for mode in ("I;16", "1", "L", "LA", "P", "P with transparency", "RGBA")),
    *((mode, "tiff", (5000, 4000)) for mode in ("I", "F", "CMYK", "LAB")),
    ("I;16", "png", (1, 5000000)), ("RGBA", "png", (5000000, 1)), ("F", "tiff", (5000000, 1))])
def test_no_picture_takes_much_more_memory_than_pillow_takes_to_decode_it(tmp_path, mode, form, size):
    path = tmp_path / ("picture." + form)
    image = of_mode(mode, size)
    image.save(str(path), **{"compression": "tiff_deflate"} if form == "tiff" else {"compress_level": 1})
    del image
    # Plus what the tiles and the engine of Pillow take, whatever the size of the picture.
    assert peak_kb(path, "ours") <= 1.3 * peak_kb(path, "pillow") + 16 * 1024


@pytest.mark.parametrize("size", [(20000, 20000), (1, 178000000), (178000000, 1)])
def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(size):
    for depth, kind in ((16, 0), (8, 6), (8, 4), (8, 3), (1, 0)):
        with pytest.raises(ImageError, match=r"at most \d+ are decoded.*CORAL_CLASSIFY_MAX_PIXELS|too many pixels"):
            prepare(png(size, depth, kind, rows=0), (8, 8))


def test_the_limit_in_pixels_is_the_library_s_own_and_can_be_set(monkeypatch):
    picture = encoded(Image.new("RGB", (100, 80)))
    assert prepare(picture, (8, 8), limits=limits(pixels=8000)).source_size == (100, 80)
    with pytest.raises(ImageError, match="has 100 x 80 pixels, and at most 7999 are decoded; scale it down first"):
        prepare(picture, (8, 8), limits=limits(pixels=7999))
    monkeypatch.setenv("CORAL_CLASSIFY_MAX_PIXELS", "7999")
    assert limits().pixels == 7999 and limits(pixels=5).pixels == 5
    monkeypatch.setenv("CORAL_CLASSIFY_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match="CORAL_CLASSIFY_MAX_PIXELS must be at least 1, a whole number, got 'many'"):
        limits()
    for odd in (0, -1, 1.5, True, "x"):
        with pytest.raises(UsageError, match="max_pixels must be"):
            limits(pixels=odd)


def test_the_limit_in_bytes_counts_what_decoding_takes(monkeypatch):
    picture = encoded(Image.new("RGBA", (100, 100)))
    monkeypatch.setenv("CORAL_CLASSIFY_MAX_PICTURE_BYTES", str(50000))
    assert prepare(picture, (8, 8), limits=limits()).source_size == (100, 100)
    for memory in (40000, 1):
        with pytest.raises(ImageError, match="takes 0 MB of memory to decode .*CORAL_CLASSIFY_MAX_PICTURE_BYTES"):
            prepare(picture, (8, 8), limits=limits(memory=memory))
    # Pointers to the rows of a picture one pixel wide take eight times as much as the pixels.
    with pytest.raises(ImageError, match="of memory to decode"):
        prepare(png((1, 60 * MEGA), rows=1), (8, 8))


def test_a_large_jpeg_is_no_large_picture_when_it_is_scaled_while_decoding():
    picture = encoded(Image.new("RGB", (2000, 2000)), "JPEG")
    assert prepare(picture, (200, 200), limits=Limits(pixels=500 * 500)).decoded_size == (250, 250)
    with pytest.raises(ImageError, match="has 2000 x 2000 pixels"):
        prepare(picture, (2000, 2000), limits=Limits(pixels=500 * 500))


def test_a_picture_that_is_decoded_already_has_no_limits():
    image = Image.new("RGB", (100, 100))
    for picture in (image, np.asarray(image)):
        assert prepare(picture, (8, 8), limits=Limits(1, 1)).source_size == (100, 100)
    undecoded = Image.open(io.BytesIO(encoded(image)))
    with pytest.raises(ImageError, match="has 100 x 100 pixels"):
        prepare(undecoded, (8, 8), limits=Limits(pixels=1))


@pytest.mark.parametrize("scans", [200, 2000])
def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(scans):
    picture = progressive_jpeg(scans)
    with pytest.raises(ImageError, match="more than 100 scans of 64 x 64 pixels, which take too long"):
        prepare(picture, (8, 8))
    with pytest.raises(ImageError, match="more than 100 scans"):    # one that the caller opened
        prepare(Image.open(io.BytesIO(picture)), (8, 8))
    with pytest.raises(ImageError, match="more than 100 scans"):
        prepare(encoded(Image.new("RGB", (8, 8)), "JPEG")[:2] + segment(0xE0, b"JFIF\0" + b"\0" * 9) + picture[2:],
                (8, 8))


def test_an_ordinary_progressive_jpeg_is_decoded_and_its_scans_are_counted():
    picture = progressive_jpeg(0)
    assert jpeg._scans(io.BytesIO(picture), picture.index(b"\xff\xda") + 2, len(picture)) == picture.count(b"\xff\xda")
    assert jpeg.survey(io.BytesIO(picture)) == ((64, 64), 64 * 64 * 3)      # 4:2:0, two bytes each
    assert abs(int(prepare(picture, (8, 8)).pixels[4, 4, 2]) - 199) < 9
    # A mark of a scan in a comment, or behind the end, is none.
    commented = picture[:2] + segment(0xFE, b"\xff\xda" * 300) + picture[2:] + b"\xff\xda\0\2" * 300
    assert prepare(commented, (8, 8)).source_size == (64, 64)


def test_many_scans_of_many_pixels_are_refused_though_neither_is_too_many():
    jpeg.check_scans((4000, 3000), 80)
    with pytest.raises(Exception, match="has 80 scans of 8000 x 6000 pixels"):
        jpeg.check_scans((8000, 6000), 80)


def test_scans_within_a_tiff_are_counted_too():
    scans = progressive_jpeg(300, (16, 16))
    content = tiff({256: (4, [16]), 257: (4, [16]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6]), 273: (4, [8]),
                    277: (3, [3]), 278: (4, [16]), 279: (4, [len(scans)])}, scans)
    with pytest.raises(ImageError, match="more than 100 scans"):
        prepare(content, (8, 8))


POSTSCRIPT = (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
              b"(/tmp/coral-was-here) (w) file closefile showpage\n%%EOF\n")


@pytest.mark.parametrize("name", ["a.eps", "a.jpg", "a.png"])
def test_postscript_starts_no_program(tmp_path, monkeypatch, name):
    (tmp_path / "gs").write_text("#!/bin/sh\ntouch %s/started\n" % tmp_path)
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    (tmp_path / name).write_bytes(POSTSCRIPT)
    with pytest.raises(ImageError, match="not a picture in a format that is read here"):
        prepare(tmp_path / name, (8, 8))
    assert not (tmp_path / "started").exists()


def test_only_the_formats_of_the_list_are_opened():
    Image.init()
    image = Image.new("RGB", (16, 16), (1, 2, 3))
    read = set()
    for form in sorted(Image.SAVE):
        try:
            content = encoded(image, form)
        except Exception:       # a format for others, or one that this Pillow was built without
            continue
        try:
            prepare(content, (8, 8))
            read.add(form)
        except ImageError as exc:
            assert "not a picture in a format that is read here (JPEG, PNG" in str(exc), form
    assert read - {"MPO"} == set(surveys.FORMATS) - (set() if features.check("avif") else {"AVIF"})


def test_the_list_of_formats_in_the_documents_is_the_one_that_holds():
    text = (REPOSITORY / "docs" / "pictures.md").read_text(encoding="utf-8")
    listed = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    assert [name.upper() for name in listed[:len(surveys.FORMATS)]] == list(surveys.FORMATS)


@pytest.mark.parametrize("picture, message", [
    (png((8, 8), before=chunk(b"prVt", b"\0" * 2) * 140000), "chunks"),
    (png((8, 8), before=chunk(b"prVt", b"\0" * (33 * MEGA))), "bytes beside its pixels"),
    (b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xfe" + (b"\xff" + b"x" * 255) * 8000 + b"\0,", "before its first picture"),
    (b"GIF89a\x08\0\x08\0\0\0\0" + b"\1" * (2 * MEGA) + b",", "before its first picture"),
    (b"\xff\xd8" + segment(0xFE, b"x") * 5000 + progressive_jpeg(0)[2:], "segments before its pixels"),
    (b"\xff\xd8" + b"x" * 100000 + progressive_jpeg(0)[2:], "not a picture|that are no JPEG"),
    (b"\xff\xd8\xff\xfe\0\2" + b"x" * 100000 + progressive_jpeg(0)[2:], "that are no JPEG"),
    (b"P6\n#" + b"x" * 10000 + b"\n8 8 255\n" + b"\0" * 192, "header is longer"),
    (b"P3 3000 3000 255\n" + b"0 " * 9, "takes too long to decode"),
    (b"P5 3000 3000 1000\n" + b"0 " * 9, "takes too long to decode"),
    (greedy_directory(3000, 30000), "claim more than the file can hold"),
    (greedy_directory(5000, 3), "a directory of 5000 tags"),
    (b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + greedy_directory(3000, 30000)) + progressive_jpeg(0)[2:], "claim more"),
    (b"\xff\xd8" + segment(0xE2, b"MPF\0" + greedy_directory(3000, 30000)) + progressive_jpeg(0)[2:], "claim more"),
    (tiff({256: (4, [8]), 257: (4, [8]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 273: (4, [8] * 9000),
           277: (3, [1]), 278: (4, [8]), 279: (4, [64] * 9000)}, b"\0" * 64), "9000 strips or tiles, where .* for 1"),
    (tiff({256: (4, [8]), 257: (4, [8]), 258: (3, [8]), 259: (3, [34925]), 273: (4, [8])}), "compression 34925"),
    (tiff({256: (4, [8]), 257: (4, [8]), 258: (3, [8]), 259: (3, [8]), 262: (3, [1]), 322: (4, [1 << 15]),
           323: (4, [1 << 15]), 324: (4, [8]), 325: (4, [9])}, b"\0" * 64), "of memory to decode"),
])
def test_what_would_take_for_ever_or_all_memory_is_refused_with_its_reason(picture, message):
    with pytest.raises(ImageError, match=message):
        prepare(picture, (8, 8))


def test_a_run_length_coded_bmp_cannot_add_more_rows_than_there_are():
    head = struct.pack("<IiiHHIIiiII", 40, 3 * MEGA // 2, 1, 1, 8, 1, 4, 0, 0, 256, 0)
    content = b"BM" + struct.pack("<IHHI", 99, 0, 0, 14 + 40 + 1024) + head + b"\0" * 1024 + b"\0\2\xff\xff" * 2
    with pytest.raises(ImageError, match="of memory to decode|cannot be decoded|not a picture"):
        prepare(content, (8, 8), limits=Limits(bytes=100 * MEGA))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_exif_of_an_avif_is_looked_through_before_pillow_reads_it():
    assert prepare(encoded(Image.new("RGB", (16, 16)), "AVIF", exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0"), (8, 8))
    with pytest.raises(ImageError, match="claim more"):
        prepare(encoded(Image.new("RGB", (16, 16)), "AVIF") + greedy_directory(3000, 30000), (8, 8))


@pytest.mark.parametrize("code", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_deflate"])
def test_a_tiff_that_was_turned_is_turned_back_once(code, compression):
    upright = Image.new("RGB", (80, 40), (255, 255, 255))
    upright.paste((255, 0, 0), (0, 0, 40, 20))
    undo = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
            6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}[code]
    stored = upright if undo is None else upright.transpose(undo)
    content = encoded(stored, "TIFF", compression=compression, tiffinfo={274: code})
    prepared = prepare(content, (20, 20))
    assert tuple(prepared.pixels[1, 1]) == (255, 0, 0) and tuple(prepared.pixels[-2, -2]) == (255, 255, 255)
    assert prepared.source_size == stored.size
    assert tuple(prepare(Image.open(io.BytesIO(content)), (20, 20)).pixels[1, 1]) == (255, 0, 0)


def test_a_device_is_not_read(tmp_path):
    with pytest.raises(ImageError, match="image /dev/zero: is a device; give a file"):
        prepare("/dev/zero", (8, 8))


def test_a_pipe_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr("coral_classify.pictures.opening.HELD_BYTES", 3 * MEGA)

    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, into):
            return len(into)
    with pytest.raises(ImageError, match="has more than 3145728 bytes; more are not taken from a pipe"):
        prepare(Endless(), (8, 8))


def test_what_is_opened_is_what_was_looked_through(tmp_path):
    picture = encoded(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    with opened(picture, "x", Limits()) as ours:
        assert ours.image.format == "JPEG" and ours.found.bytes == 16 * 16 * 3 and ours.needed() > 16 * 16 * 4
