"""HDF5 files of strangers, read within bounds.

HDF5 can do much that no model needs: take data from other files (external storage, links, virtual data sets), and
claim sizes that no memory holds. Here nothing leaves the file, and no more is read than it can hold: every byte once,
or, compressed, some times the size of the file.
"""

import contextlib
import io
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jkeras.serialize.trust import LoadError, at, check_regular, shown

__all__ = ["COMPRESSED_BYTES", "COMPRESSED_RATIO", "Group", "Stored", "open_file", "reading"]

#: What compression may make of a file: so many times its size, and for small ones this many bytes.
COMPRESSED_RATIO, COMPRESSED_BYTES = 20, 1 << 26
#: What may be claimed of data that are read in parts: as much as gzip can make of a file.
DEFLATE_RATIO = 1032
#: What texts of one attribute may take that are kept in a heap, where several may be one.
TEXT_BYTES = 1 << 28
#: So many times the bytes of a file may be looked at, each thing in it that is opened counting as so many: a thing may
#: have many names.
LOOKS, LOOK_BYTES = 4, 64


@contextlib.contextmanager
def reading(source: Any) -> Iterator["Group"]:
    """The group to read from. Every error inside is a `LoadError` that names the file.

    Arguments:
        source: a path, an h5py file or group, the bytes of a file, or an object that reads them (`read`, `seek`).

    Raises:
        FileNotFoundError: if there is no such file.
    """
    import h5py

    if isinstance(source, Group):
        yield source
    elif isinstance(source, h5py.Group):
        with at(_text(source.file.filename) if source else "a closed HDF5 file"):
            yield Group(source)
    else:
        named = isinstance(source, (str, os.PathLike))
        content: Any = None if named else _content(source)
        with open_file(source if named else io.BytesIO(content)) as file, at(str(source) if named else "the bytes"):
            yield Group(file, _Budget(file, content))


def _content(source) -> Any:
    """The bytes of a file that was given as such, or as an object that reads them."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return source if isinstance(source, bytes) else bytes(source)
    if not hasattr(source, "read") or not hasattr(source, "seek"):
        raise TypeError(f"a path, bytes, a file, or an h5py group was expected; got {shown(source)}.")
    with at("the bytes"):
        source.seek(0)
        content = source.read()
        if not isinstance(content, bytes):
            raise LoadError("it gives texts; open it for reading bytes.")
        return content


def open_file(source: Any) -> Any:
    """The h5py file at a path, or in an object that reads bytes, open for reading.

    Raises:
        FileNotFoundError: if there is no such file.
        LoadError: if it is no HDF5 file, but a folder, a pipe or something else.
    """
    import h5py

    if isinstance(source, (str, os.PathLike)):
        source = os.fspath(source)
        check_regular(source)
    with at(source if isinstance(source, str) else "the bytes"):
        return h5py.File(source, "r")


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class _Budget:
    """How many bytes may still be read from a file.

    Arguments:
        file: an h5py file.
        content: its bytes, if they are at hand.
    """

    def __init__(self, file: Any, content: Any = None):
        if file.mode != "r":  # what is written to it shall be found in it
            file.flush()
        self.size = self.plain = file.id.get_filesize()
        self.packed = COMPRESSED_RATIO * self.size + COMPRESSED_BYTES
        self._looks = LOOKS * self.size
        self._file, self._content, self._longest = file, content, None
        self._looked_at: set = set()

    def take(self, count: int, packed: bool) -> None:
        self.packed -= count
        self.plain -= 0 if packed else count
        if self.packed < 0 or self.plain < 0:
            raise LoadError(f"it claims {count} bytes, more than there can be in a file of {self.size} bytes.")

    def look(self, count: int = LOOK_BYTES) -> None:
        """Count bytes that are looked at."""
        self._looks -= count
        if self._looks < 0:
            raise LoadError(f"its {self.size} bytes are looked at again and again: things in it have many names.")

    @contextlib.contextmanager
    def _bytes(self):
        """The bytes of the file."""
        if self._content is None and not os.path.isfile(self._file.filename):
            self._content = self._file.id.get_file_image()
        if self._content is not None:
            yield self._content
            return
        with open(self._file.filename, "rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content

    def check_text(self, name: str, stored: Any, kind: Any) -> None:
        """Whether an attribute, of texts or numbers, claims no more than there can be, and no heap is damaged.

        Arguments:
            stored, kind: the attribute and its type, of h5py's lower level.
        """
        count = math.prod(stored.shape or ())
        too_many = LoadError(f"its {count} entries claim more than there can be in a file of {self.size} bytes.")
        if count * kind.get_size() > self.size:
            raise too_many
        if not hasattr(kind, "is_variable_str") or not kind.is_variable_str() or (name, count) in self._looked_at:
            return
        with self._bytes() as content:
            if self._longest is None:
                self._longest = _longest(content)
            usual = stored.get_storage_size() == 16 * count and not kind.committed()
            claimed = _lengths(content, name.encode() + b"\0") if usual else []
        if not claimed or max(claimed) > self._longest or count * self._longest > TEXT_BYTES + self.size:
            raise too_many
        self._looked_at.add((name, count))

    def check(self, dataset) -> None:
        """Whether an h5py data set, its pieces and its rows, are of sizes that there may be in a file of this size."""
        width = dataset.id.get_type().get_size()
        pieces = dataset.chunks or dataset.shape[1:]
        if dataset.chunks is None and dataset.id.get_storage_size() < width * dataset.size:
            raise LoadError(f"its shape is {dataset.shape}, but only {dataset.id.get_storage_size()} bytes are there.")
        if (
            width * dataset.size > DEFLATE_RATIO * self.size + COMPRESSED_BYTES
            or width * math.prod(pieces) > self.packed
        ):
            raise LoadError(f"its shape {dataset.shape} is larger than there can be in a file of {self.size} bytes.")


class Group:
    """A group of an HDF5 file, as far as models need it.

    Arguments:
        group: an h5py group.
        budget: what may still be read of its file; by default, as much as a file of its size can hold.
    """

    def __init__(self, group: Any, budget: _Budget | None = None):
        self._group = group
        self._budget = budget or _Budget(group.file)

    def __contains__(self, name: str) -> bool:
        return self._group.id.links.exists(name.encode())

    def __getitem__(self, name: str) -> "Group":
        """The group of this name.

        Raises:
            LoadError: if there is none.
        """
        import h5py

        found = self.found(name)
        if not isinstance(found, h5py.Group):
            raise LoadError(f"{shown(name)} is a {type(found).__name__}; a group was expected.")
        return Group(found, self._budget)

    def found(self, name: str) -> Any:
        """The h5py object of this name, through links that stay in the file.

        Raises:
            LoadError: if there is none.
        """
        import h5py

        found = self._group
        for part in name.split("/"):
            with at(shown(name)):
                self._budget.look()
                if not isinstance(found, h5py.Group):
                    raise LoadError(f"there is nothing in a {type(found).__name__}; a group was expected.")
                if not found.id.links.exists(part.encode()):
                    raise LoadError("it is not there.")
                if found.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                    raise LoadError("it is a link to somewhere else, and such are not followed.")
                found = found[part]
        return found

    # ------------------------------------------------------------------------------------------------- attributes

    def attribute(self, name: str) -> Any:
        """The attribute `name`, texts or numbers; None if there is none."""
        import h5py
        from h5py import h5a, h5t

        if not h5a.exists(self._group.id, name.encode()):
            return None
        with at(f"attribute {shown(name)}"):
            stored = h5a.open(self._group.id, name.encode())
            kind = stored.get_type()
            texts = isinstance(kind, h5t.TypeStringID)
            if not texts and not isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID, h5t.TypeEnumID)):
                raise LoadError(f"it is of the type {type(kind).__name__}; text or numbers were expected.")
            if stored.shape is None or not math.prod(stored.shape):
                return None if stored.shape is None else np.array([])
            self._budget.check_text(name, stored, kind)
            value = self._group.attrs[name]
            self._budget.look(sum(map(len, value.flat)) if np.ndim(value) and texts else stored.get_storage_size())
            return None if isinstance(value, h5py.Empty) else value

    def text(self, name: str) -> str | None:
        """The attribute `name` as text; None if there is none.

        Raises:
            LoadError: if it is something else.
        """
        value = self.attribute(name)
        if value is None or isinstance(value, (str, bytes)):
            return value if value is None else _text(value)
        raise LoadError(f"attribute {shown(name)}: it is {shown(value)}; a text was expected.")

    def names(self, name: str) -> list:
        """The list of names that `hdf5.write_names` wrote.

        Raises:
            LoadError: if it is something else, or a name comes twice.
        """
        whole = self.attribute(name)
        chunks, number = [] if whole is None else [whole], 0
        while whole is None and (chunk := self.attribute(f"{name}{number}")) is not None:
            chunks.append(chunk)
            number += 1
        names: list = []
        for chunk in chunks:
            if np.ndim(chunk) != 1 or (np.size(chunk) and np.asarray(chunk).dtype.kind not in "SO"):
                raise LoadError(f"attribute {shown(name)}: it is {shown(chunk)}; a list of names was expected.")
            names += [_text(entry) for entry in chunk]
        if len(set(names)) < len(names):
            raise LoadError(f"attribute {shown(name)}: a name comes twice in {shown(names)}.")
        return names

    # ----------------------------------------------------------------------------------------------------- arrays

    def dataset(self, name: str) -> Any:
        """The h5py data set of this name.

        Raises:
            LoadError: if there is none, its data are in other files, or it claims more than a file of this size can
                hold.
        """
        import h5py
        from h5py import h5d

        found = self.found(name)
        with at(shown(name)):
            if not isinstance(found, h5py.Dataset):
                raise LoadError(f"it is a {type(found).__name__}; an array was expected.")
            plan = found.id.get_create_plist()
            if plan.get_layout() == h5d.VIRTUAL or plan.get_external_count():
                raise LoadError("its data are in other files, and such are not read.")
            if found.shape is None:
                raise LoadError("it has no shape; an array was expected.")
            self._budget.check(found)
        return found

    def stored(self, name: str) -> "Stored":
        """The array of numbers of this name, not yet read."""
        found = self.dataset(name)
        with at(shown(name)):
            return Stored(found, self._budget)

    def arrays(self) -> "list[Stored]":
        """The arrays of this group, in the order of `weight_names`, not yet read."""
        return [self.stored(name) for name in self.names("weight_names")]


def _lengths(content, mark: bytes) -> list:
    """The lengths that texts of variable length claim in the attributes of a name: the library takes that much memory
    before it looks.

    An attribute is a header with the sizes of what follows, its name, type and shape, and for each text 16 bytes, which
    begin with its length.
    """
    lengths: list = []
    left = len(content) // 16  # so many there can be; attributes do not overlap
    place = content.find(mark)
    while place >= 0:
        for start, versions in ((place - 8, (1, 2)), (place - 9, (3,))):
            if start < 0 or content[start] not in versions:
                continue
            unit = 8 if content[start] == 1 else 1
            sizes = struct.unpack("<HHH", content[start + 2 : start + 8])
            kind, shape, first = place + np.cumsum([-(-size // unit) * unit for size in sizes])
            if content[kind : kind + 1] and content[kind] % 16 == _VARIABLE and content[shape : shape + 1]:
                sizes_at = shape + (8 if content[shape] == 1 else 4)
                count = math.prod(struct.unpack_from(f"<{content[shape + 1]}Q", content[sizes_at:first].ljust(255 * 8)))
                if count > left:
                    raise LoadError(f"what is in it named {shown(mark[:-1].decode())} claims more than there can be.")
                left -= count
                texts = content[first : first + 16 * count]
                lengths += [length for length, *_ in struct.iter_unpack("<IQI", texts[: len(texts) // 16 * 16])]
        place = content.find(mark, place + 1)
    return lengths


#: What HDF5 calls the class of types of variable length.
_VARIABLE = 9


def _longest(content) -> int:
    """How long the longest text of variable length in an HDF5 file can be, in bytes.

    They are in heaps, each a mark, its size, and texts with a header of 16 bytes that tells their length. The library
    reads a whole heap at once, for ever if a length is such that the next header is no further on.
    """
    longest, start = 0, content.find(b"GCOL\1")
    left = len(content) // 16  # so many texts there can be; heaps do not overlap
    while start >= 0:
        place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
        while place + 16 <= end <= len(content):
            number, length = content[place : place + 2], int.from_bytes(content[place + 8 : place + 16], "little")
            free = number == b"\0\0"
            whole = length if free else 16 + -(-length // 8) * 8
            left -= 1
            if whole < 16 or place + whole > end or left < 0:
                raise LoadError(f"a heap of texts, at byte {place}, is damaged.")
            longest = longest if free else max(longest, length)
            place += whole
        start = content.find(b"GCOL\1", start + 5)
    return longest


# ---------------------------------------------------------------------------------------------------------- data sets


class Stored:
    """An array in an HDF5 file, looked at but not read.

    Arguments:
        dataset: an h5py data set.
        budget: what may still be read of its file.

    Attributes:
        shape, dtype, size: of the array.

    Raises:
        LoadError: if it is not one of numbers.
    """

    def __init__(self, dataset: Any, budget: _Budget):
        self._dataset, self._budget = dataset, budget
        self.dtype, self.shape = dataset.dtype, dataset.shape
        if self.dtype.kind not in "biufcS":
            raise LoadError(f"it has the type {self.dtype}; numbers were expected.")
        self.size = math.prod(self.shape)

    def read(self) -> np.ndarray:
        """The array.

        Raises:
            LoadError: if it claims to be larger than what the file can hold.
        """
        dataset = self._dataset
        with at(shown(dataset.name)):
            packed = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
            self._budget.take(self.size * self.dtype.itemsize, packed)
            if dataset.chunks is not None:
                _check_chunks(dataset)
            array = np.empty(self.shape, self.dtype)
            if self.size:
                dataset.read_direct(array)
            return array

    def stand_in(self) -> np.ndarray:
        """Zeros of the same shape, which take no memory."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)


def _check_chunks(dataset):
    """Whether an array in pieces is there as a whole, and no piece unpacks to more than it should be."""
    from h5py import h5z

    plan, chunks = dataset.id.get_create_plist(), dataset.chunks
    bytes_each = math.prod(chunks) * dataset.dtype.itemsize
    count = math.prod(-(-size // each) for size, each in zip(dataset.shape, chunks, strict=True))
    if dataset.id.get_num_chunks() != count or bytes_each > max(dataset.nbytes, 1 << 20):
        raise LoadError(f"its {count} pieces of {shown(chunks)} are not all there, or larger than its {dataset.shape}.")
    filters = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    codes = [code for code, *_ in filters]
    known = (h5z.FILTER_SHUFFLE, h5z.FILTER_LZF, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32)
    if codes != [code for code in known if code in codes] or len(set(codes) & set(known[1:3])) > 1:
        raise LoadError(f"it is packed by {shown([name for *_, name in filters])}; gzip or lzf were expected.")
    for code, _, values, _ in filters:
        if code == h5z.FILTER_LZF and any(value > bytes_each for value in values[2:]):
            raise LoadError("its pieces unpack to more than their size.")
    if h5z.FILTER_DEFLATE in codes:
        place = codes.index(h5z.FILTER_DEFLATE)
        pieces: list = []
        dataset.id.chunk_iter(pieces.append)
        for piece in pieces:
            if piece.size > 2 * bytes_each + (1 << 10):
                raise LoadError("its pieces take more than what is in them.")
            left_out, raw = dataset.id.read_direct_chunk(piece.chunk_offset)
            unpacked = b"" if left_out >> place & 1 else zlib.decompressobj().decompress(raw, bytes_each + 1)
            if len(unpacked) > bytes_each:
                raise LoadError("its pieces unpack to more than their size.")
