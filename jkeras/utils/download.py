"""Files from the net, kept in a cache: whole and checked, or not there."""

import contextlib
import hashlib
import http.client
import os
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable

from jkeras.typing import PathLike
from jkeras.utils.archives import extract_archive
from jkeras.utils.generic_utils import Progbar

__all__ = ["get_file", "validate_file"]

TIMEOUT_SECONDS = 60  # of silence on the line


def get_file(
    fname: PathLike | None, origin: str, untar: bool = False, md5_hash: str | None = None,
    file_hash: str | None = None, cache_subdir: PathLike = "datasets", hash_algorithm: str = "auto",
    extract: bool = False, archive_format: str | Iterable[str] | None = "auto", cache_dir: PathLike | None = None,
) -> str:  # fmt: skip
    """The path of a file that is downloaded if it is not in the cache.

    A file is there when all of it has come and its digest is right, not before. With a digest, a download that was
    broken off goes on where it was. Of several processes that want a file one downloads it and the others wait.

    Arguments:
        fname: its name in the cache, or a whole path; None for the last part of `origin`.
        origin: where it comes from: https, http, ftp or file.
        untar: whether it is a tar archive named `fname`.tar.gz, which holds a folder `fname`.
        md5_hash: the old name of `file_hash`.
        file_hash: its SHA-256 or MD5 digest, in hexadecimal; None not to check.
        cache_subdir: the folder in the cache.
        hash_algorithm: 'sha256', 'md5', or 'auto' to go by the length of the digest.
        extract: whether to unpack it beside itself; see `jkeras.utils.archives`.
        archive_format: of the archive: 'tar', 'zip', several of them to try, or 'auto' for both.
        cache_dir: the cache; None for `$KERAS_HOME` or `~/.keras`, or, where that cannot be written, a folder among
            the temporary files.

    Returns:
        The path of the file; with `untar`, of the folder.

    Raises:
        OSError: if the file cannot be fetched.
        ValueError: if what came has another digest, or is an archive that may not be unpacked.
    """
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    digest = None if file_hash is None else (file_hash.lower(), _algorithm(file_hash, hash_algorithm))
    target = _place(_name(fname, origin), cache_subdir, cache_dir)
    path = f"{target}.tar.gz" if untar else target
    unpacked = not extract and (not untar or os.path.exists(target))
    if not unpacked or not _is_good(path, digest):
        with _alone(path):
            fresh = not _is_good(path, digest)
            if fresh:
                _download(origin, path, digest)
            if extract or (untar and (fresh or not os.path.exists(target))):
                formats = "tar" if untar else archive_format
                if not extract_archive(path, os.path.dirname(path), formats) and formats:
                    raise ValueError(f"get_file: {path}, from {origin}, is no archive of the format {formats!r}.")
    return target if untar else path


def _name(fname, origin):
    """The name in the cache."""
    if fname is None:
        last = urllib.parse.unquote(urllib.parse.urlsplit(origin).path).rpartition("/")[2]
        fname = re.sub(r'[\x00-\x1f\\/:*?"<>|]', "_", last).lstrip(".")
        if not fname:
            raise ValueError(f"get_file: {origin} has no name of a file; give fname.")
    fname = os.fspath(fname)
    if "\0" in fname or (not os.path.isabs(fname) and ".." in re.split(r"[/\\]", fname)):
        raise ValueError(f"get_file: fname={fname!r} leads out of the cache.")
    return fname


def _place(name, cache_subdir, cache_dir):
    """The path in the cache, whose folder is there."""
    cache = cache_dir or os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    path = os.path.join(os.path.expanduser(cache), cache_subdir, name)
    folder = os.path.dirname(path)
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
    if os.access(folder, os.W_OK) or os.path.exists(path):
        return path
    # A folder that only this user can write: others must not choose what is found in it.
    user = os.getuid() if hasattr(os, "getuid") else "user"
    own = os.path.join(tempfile.gettempdir(), f"keras-{user}")
    os.makedirs(own, mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and (os.stat(own).st_uid != os.getuid() or os.path.islink(own)):
        raise PermissionError(f"get_file: {folder} cannot be written, and {own} belongs to somebody else.")
    path = os.path.join(own, cache_subdir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def _is_good(path, digest):
    if not os.path.isfile(path):
        return False
    if digest is None or _hash_file(path, digest[1]) == digest[0]:
        return True
    print(f"{path} does not have the {digest[1]} digest {digest[0]}; it is downloaded again.")
    return False


@contextlib.contextmanager
def _alone(path):
    """A block in which this process, and this thread, is the only one that writes `path`."""
    lock = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.lock")
    while True:
        file = open(lock, "a")  # noqa: SIM115 - closed below, or by whoever ends this process
        _wait_for(file)
        # Whoever had the lock has removed the file; its name may be another one's by now.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                break
        file.close()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.remove(lock)
        file.close()


def _wait_for(file):
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        while True:
            with contextlib.suppress(OSError):  # after ten seconds
                return msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
    return fcntl.flock(file, fcntl.LOCK_EX)


def _download(origin, path, digest):
    """Fetch a file, or the rest of it, and put it in its place if its digest is right."""
    part = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.part")
    if digest is None and os.path.exists(part):
        os.remove(part)  # nothing would tell whether its rest fits
    print(f"Downloading {origin}")
    while True:
        try:
            continued = _fetch(origin, part)
        except BaseException:
            if digest is None and os.path.exists(part):
                os.remove(part)
            raise
        found = None if digest is None else _hash_file(part, digest[1])
        if digest is None or found == digest[0]:
            return os.replace(part, path)
        os.remove(part)
        if not continued:
            raise ValueError(
                f"get_file: what came from {origin} has the {digest[1]} digest {found}; {digest[0]} was expected."
            )


def _fetch(origin, part):
    """Download `origin`, or what is missing of it, to `part`. Whether something was there."""
    scheme = urllib.parse.urlsplit(origin).scheme
    if scheme not in ("https", "http", "ftp", "file"):
        raise ValueError(f"get_file: {origin!r} is no address of the kind https, http, ftp or file.")
    start = os.path.getsize(part) if os.path.exists(part) else 0
    request = urllib.request.Request(origin, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            if scheme == "https" and urllib.parse.urlsplit(response.url).scheme != "https":
                raise OSError(f"URL fetch failure on {origin}: it leads to {response.url}, which is not encrypted.")
            goes_on = (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-")
            start = start if goes_on and response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
            _receive(response, part, start, origin)
    except urllib.error.HTTPError as error:
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            os.remove(part)
            return _fetch(origin, part)
        raise OSError(f"URL fetch failure on {origin}: {error.code} -- {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"URL fetch failure on {origin}: {error.reason}") from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise OSError(f"URL fetch failure on {origin}: {type(error).__name__}: {error}") from error
    return start > 0


def _receive(response, part, start, origin):
    """Write what comes behind the first `start` bytes of `part`."""
    length = response.headers.get("Content-Length")
    total = None if length is None else start + int(length)
    bar, done = Progbar(total), start
    with open(part, "ab" if start else "wb") as file:
        while chunk := response.read(2**18):
            file.write(chunk)
            done += len(chunk)
            if total is not None:
                bar.update(done)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise OSError(f"URL fetch failure on {origin}: it ended after {done} of {total} bytes.")


def _algorithm(file_hash, algorithm):
    if algorithm == "auto":
        algorithm = {64: "sha256", 32: "md5"}.get(len(file_hash), "")
    if algorithm not in ("sha256", "md5"):
        raise ValueError(f"A SHA-256 or MD5 digest was expected; got {file_hash!r} with algorithm={algorithm!r}.")
    return algorithm


def _hash_file(fpath: PathLike, algorithm: str = "sha256", chunk_size: int = 65535) -> str:
    """The digest of a file, in hexadecimal. (Keras's name.)"""
    hasher = hashlib.new("sha256" if algorithm == "auto" else algorithm, usedforsecurity=False)
    with open(fpath, "rb") as file:
        while chunk := file.read(chunk_size):
            hasher.update(chunk)
    return hasher.hexdigest()


def validate_file(fpath: PathLike, file_hash: str, algorithm: str = "auto", chunk_size: int = 65535) -> bool:
    """Whether a file has this digest.

    Arguments:
        fpath: the file.
        file_hash: a SHA-256 or MD5 digest, in hexadecimal.
        algorithm: 'sha256', 'md5', or 'auto' to go by the length of the digest.
        chunk_size: how many bytes are read at a time.
    """
    return _hash_file(fpath, _algorithm(file_hash, algorithm), chunk_size) == file_hash.lower()
