"""Archives that are not what they say; nothing of them is trusted."""
from __future__ import annotations

import bz2
import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import REPOSITORY
from PIL import Image

from coral_classify.cli import archives
from coral_classify.errors import ImageError


def encoded(colour=(200, 0, 0)):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return file.getvalue()


def given(path):
    """What the archive gives: names of pictures, messages of errors."""
    return [str(each) if isinstance(each, ImageError) else each.name for each in archives.pictures_in(str(path))]


def lying(path, members, compression=zipfile.ZIP_DEFLATED):
    """A zip whose headers say other sizes than its members have: name -> (content, size that it says)."""
    with zipfile.ZipFile(str(path), "w", compression) as archive:
        for name, (content, _) in members.items():
            archive.writestr(name, content)
    spoilt = bytearray(path.read_bytes())
    for name, (_, size) in members.items():
        at = spoilt.index(b"PK\1\2")
        while spoilt[at + 46:at + 46 + len(name)] != name.encode():
            at = spoilt.index(b"PK\1\2", at + 1)
        struct.pack_into("<I", spoilt, at + 24, size)
    path.write_bytes(bytes(spoilt))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_of_a_member_that_lies_about_its_size_no_more_is_read_than_it_says(tmp_path, compression):
    path = tmp_path / "photos.zip"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", compression) as archive:
        with archive.open("bomb.png", "w") as member:
            for _ in range(300):
                member.write(b"\0" * (1 << 20))
        archive.writestr("good.png", encoded())
    spoilt = bytearray(bomb.getvalue())
    struct.pack_into("<I", spoilt, spoilt.index(b"PK\1\2") + 24, 100)
    path.write_bytes(bytes(spoilt))
    script = ("import resource, sys\nfrom coral_classify.cli import archives\n"
              "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
              "print(*[str(each)[-70:] for each in archives.pictures_in(sys.argv[1])], sep='|')\n"
              "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)")
    told, grown = subprocess.check_output([sys.executable, "-c", script, str(path)], universal_newlines=True,
                                          env=dict(os.environ, PYTHONPATH=str(REPOSITORY))).splitlines()
    # bzip2 and LZMA unpack a block at once, whatever they are asked for; 300 MB it is not.
    assert told.count("|") == 1 and "cannot be unpacked" in told and int(grown) < 150


def test_a_member_shorter_than_it_says_is_an_error_and_the_next_is_read(tmp_path):
    path = tmp_path / "photos.zip"
    lying(path, {"a.png": (encoded(), 5000), "b.png": (encoded(), len(encoded()))})
    said, name = given(path)
    assert "a.png: cannot be unpacked: it ends after" in said and name == "%s!b.png" % path
    lying(path, {"a.png": (encoded(), 2 ** 32 - 2)})
    assert "has 4294967294 bytes unpacked; at most 134217728 are read" in given(path)[0]


def test_links_and_encrypted_members_of_a_zip_get_a_line_and_a_name_that_stands_there_twice_gives_two(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(str(path), "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("secret.png", encoded())
        archive.writestr("twice.png", encoded())
        with pytest.warns(UserWarning):
            archive.writestr("twice.png", encoded((0, 200, 0)))
    spoilt = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = [i for i in range(len(spoilt)) if spoilt[i:i + 4] == mark][1]
        spoilt[at + flags] |= 1
    path.write_bytes(bytes(spoilt))
    link, secret, first, second = list(archives.pictures_in(str(path)))
    assert "link.png: is a link in the archive" in str(link)
    assert "secret.png: cannot be unpacked" in str(secret) and "encrypted" in str(secret)
    assert first.name == second.name and first.getvalue() == encoded() and second.getvalue() == encoded((0, 200, 0))


def add(archive, name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content) if info.isfile() else None)


@pytest.mark.parametrize("kind", ["", ":gz", ":bz2", ":xz"])
def test_links_and_devices_of_a_tar_get_a_line_each(tmp_path, kind):
    path = tmp_path / ("photos.tar" + kind.replace(":", "."))
    with tarfile.open(str(path), "w" + kind) as archive:
        add(archive, "a.png", encoded())
        add(archive, "hard.png", type=tarfile.LNKTYPE, linkname="a.png")
        add(archive, "soft.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "pipe.png", type=tarfile.FIFOTYPE)
        add(archive, "folder.png", type=tarfile.DIRTYPE)
        add(archive, "b.png", encoded())
    first, hard, soft, pipe, last = given(path)
    assert first.endswith("!a.png") and last.endswith("!b.png")
    assert "hard.png: is a second name (hard link) of a.png in the archive, and no picture of its own" in hard
    assert "soft.png: is a link to /etc/passwd" in soft and "pipe.png: is a device or a pipe" in pipe


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress])
def test_a_header_that_asks_for_gigabytes_is_not_followed(tmp_path, packed):
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 1 << 31
    path = tmp_path / "photos.tar.gz"
    path.write_bytes(packed(name.tobuf(tarfile.GNU_FORMAT) + b"\0" * (3 << 20)))
    assert given(path) == ["archive %s: cannot be read: a header asks for 2147483648 bytes" % path]


def test_a_size_that_leads_back_is_no_endless_way(tmp_path):
    info = tarfile.TarInfo("a.png")
    info.size = -512
    path = tmp_path / "photos.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 3 + b"\0" * 1024)
    assert len(given(path)) <= 2 and "archive" in given(path)[-1]


@pytest.mark.parametrize("write", [
    lambda path: zipfile.ZipFile(path, "w").close(), lambda path: tarfile.open(path, "w").close(),
    lambda path: zipfile.ZipFile(path, "w").writestr("notes.txt", "x")])
def test_an_archive_without_pictures_is_an_error_as_a_folder_is(tmp_path, write):
    path = tmp_path / "photos.zip"
    write(str(path))
    if not zipfile.is_zipfile(str(path)):
        path = path.rename(tmp_path / "photos.tar") or tmp_path / "photos.tar"
    assert given(path) == ["archive %s: holds no pictures" % path]


def test_an_archive_that_is_a_pipe_or_a_device_is_not_waited_for(tmp_path):
    path = tmp_path / "photos.zip"
    os.mkfifo(str(path))
    assert given(path) == ["archive %s: is a pipe; give a file" % path]
    link = tmp_path / "zero.tar"
    link.symlink_to("/dev/zero")
    assert given(link) == ["archive %s: is a device; give a file" % link]
