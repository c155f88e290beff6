"""Archives unpacked into a folder that they cannot leave."""

import os
import posixpath
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from jkeras.typing import PathLike

__all__ = ["extract_archive"]

#: An archive may unpack to so many times its size, and in any case to so many bytes.
MOST_TIMES, ALWAYS_BYTES = 200, 2**26
_MEMBER_BYTES = 512  # what a member counts for, even if it is empty


class _Member(NamedTuple):
    name: str
    kind: str  # "file", "folder", "link", or what else it is
    size: int
    target: str  # of a link, from the top of the archive
    content: Any  # () -> a readable file


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        if info.isreg():
            yield _Member(info.name, "file", info.size, "", lambda info=info: archive.extractfile(info))
        elif info.isdir():
            yield _Member(info.name, "folder", 0, "", None)
        elif info.islnk():
            yield _Member(info.name, "link", 0, info.linkname, None)
        elif info.issym():
            start = "" if info.linkname.startswith("/") else posixpath.dirname(info.name)
            yield _Member(info.name, "link", 0, posixpath.normpath(posixpath.join(start, info.linkname)), None)
        else:
            yield _Member(info.name, "device", 0, "", None)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        mode = info.external_attr >> 16
        plain = stat.S_IFMT(mode) in (0, stat.S_IFREG)
        kind = "folder" if info.is_dir() else "file" if plain else "link to somewhere or a device"
        yield _Member(info.filename, kind, info.file_size, "", lambda info=info: archive.open(info))


_FORMATS = {
    "tar": (tarfile.is_tarfile, tarfile.open, _tar_members),
    "zip": (zipfile.is_zipfile, zipfile.ZipFile, _zip_members),
}
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def extract_archive(
    file_path: PathLike, path: PathLike = ".", archive_format: str | Iterable[str] | None = "auto"
) -> bool:
    """Unpack an archive; all of it appears in the folder, or nothing.

    Only files and folders are made: a link within the archive becomes a copy of its file. Permissions are those of new
    files.

    Arguments:
        file_path: the archive.
        path: the folder to unpack into.
        archive_format: 'tar' (also compressed), 'zip', several of them to try, or 'auto' for both; None for none.

    Returns:
        Whether the file is an archive of that format.

    Raises:
        ValueError: if a member would lie outside of the folder, is a device or a link to the outside, the archive is
            damaged, or would unpack to more than 200 times its size (64 MB are always allowed).
    """
    formats = ["tar", "zip"] if archive_format == "auto" else archive_format or []
    for name in [formats] if isinstance(formats, str) else formats:
        if name not in _FORMATS:
            raise ValueError(f"extract_archive: archive_format must be 'tar', 'zip' or 'auto'; got {name!r}.")
        fits, open_archive, members = _FORMATS[name]
        if not fits(file_path):
            continue
        aside = os.path.join(path, f".{os.path.basename(file_path)}.{secrets.token_hex(4)}.unpacked")
        os.makedirs(aside)
        try:
            with open_archive(file_path) as archive:  # type: ignore[operator]
                _unpack(members(archive), aside, _limit(file_path))
            _move(aside, os.fspath(path))
        except _DAMAGE as error:
            raise ValueError(f"The archive {os.fspath(file_path)} is damaged: {error}") from error
        except ValueError as error:
            raise ValueError(f"The archive {os.fspath(file_path)} was not unpacked: {error}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return True
    return False


def _limit(file_path):
    return max(ALWAYS_BYTES, MOST_TIMES * os.path.getsize(file_path))


def _unpack(members, folder, limit):
    left = limit
    for member in members:
        path = _inside(folder, member.name)
        left -= _MEMBER_BYTES
        if member.kind == "folder":
            os.makedirs(path, exist_ok=True)
        elif member.kind in ("file", "link"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if member.kind == "file":
                source = member.content()
            else:
                source = _linked(folder, member)
            with source, open(path, "wb") as out:
                left = _copy(source, out, left)
        else:
            raise ValueError(f"its member {member.name!r} is a {member.kind}.")
        if left < 0:
            raise ValueError(f"it would unpack to more than {limit} bytes.")


def _inside(folder, name):
    """Where a member goes."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise ValueError(f"its member {name!r} would lie outside of the folder.")
    return os.path.join(folder, *(part for part in parts if part not in ("", ".")))


def _linked(folder, member):
    """The file that a link means, if it was unpacked before."""
    path = _inside(folder, member.target)
    if not os.path.isfile(path):
        raise ValueError(f"its member {member.name!r} is a link to {member.target!r}, which is no file before it.")
    return open(path, "rb")


def _copy(source: IO[bytes], out: IO[bytes], left: int) -> int:
    """Copy a file; stop soon after `left` bytes. What is then left of them, below 0 if there were more."""
    while left >= 0 and (chunk := source.read(2**20)):
        out.write(chunk)
        left -= len(chunk)
    return left


def _move(source, target):
    """Move what is in one folder into another; what is there under the same name is replaced."""
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        place = os.path.join(target, entry.name)
        if entry.is_dir() and os.path.isdir(place):
            _move(entry.path, place)
        else:
            os.replace(entry.path, place)
