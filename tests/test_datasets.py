"""Files from the net, archives and data sets, over HTTP from a server on this machine."""

import contextlib
import gzip
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import pickle
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from jkeras import config
from jkeras.datasets import boston_housing, cifar10, cifar100, fashion_mnist, imdb, mnist, pickled, reuters
from jkeras.utils import archives, download
from jkeras.utils.archives import extract_archive
from jkeras.utils.data_utils import get_file, validate_file


def sha256(content):
    return hashlib.sha256(content).hexdigest()


CONTENT = bytes(range(256)) * 300


def left(tmp_path):
    """The names of all files in the cache."""
    return sorted(name for _, _, names in os.walk(tmp_path / "home") for name in names)


# ------------------------------------------------------------------------------------------------------- downloads


@pytest.mark.parametrize("digest", [None, sha256(CONTENT), hashlib.md5(CONTENT).hexdigest().upper()])
def test_a_file_is_fetched_once(server, tmp_path, digest, capsys):
    server.files["/a"] = CONTENT
    for _ in range(2):
        path = get_file("a.bin", server.url + "/a", file_hash=digest)
        assert path == str(tmp_path / "home" / "datasets" / "a.bin")
        with open(path, "rb") as file:
            assert file.read() == CONTENT
    assert len(server.asked) == 1 and left(tmp_path) == ["a.bin"]
    assert f"Downloading {server.url}/a" in (shown := capsys.readouterr().out) and f"{len(CONTENT)}/" in shown


@pytest.mark.parametrize("most, length, error", [(1000, True, "ended after 1000 of 76800"), (0, True, "after 0 of")])
@pytest.mark.parametrize("digest", [None, sha256(CONTENT)])
def test_a_download_that_breaks_off_goes_on_where_it_was(server, tmp_path, most, length, error, digest):
    server.files["/a"], server.most = CONTENT, most
    with pytest.raises(OSError, match=error):
        get_file("a", server.url + "/a", file_hash=digest)
    assert left(tmp_path) == ([".a.part"] if digest else [])  # nothing would tell whether the rest fits
    server.most = None
    with open(get_file("a", server.url + "/a", file_hash=digest), "rb") as file:
        assert file.read() == CONTENT
    assert server.asked == [None, "bytes=1000-" if digest and most else None] and left(tmp_path) == ["a"]


@pytest.mark.parametrize("part", [b"of something else", CONTENT, CONTENT + b"more"])
@pytest.mark.parametrize("without_ranges", [False, True])
def test_a_part_that_does_not_fit_is_discarded(server, tmp_path, part, without_ranges):
    server.files["/a"], server.without_ranges = CONTENT, without_ranges
    os.makedirs(tmp_path / "home" / "datasets")
    (tmp_path / "home" / "datasets" / ".a.part").write_bytes(part)
    with open(get_file("a", server.url + "/a", file_hash=sha256(CONTENT)), "rb") as file:
        assert file.read() == CONTENT
    assert left(tmp_path) == ["a"]


def test_what_has_the_wrong_digest_is_not_kept_and_nothing_good_is_lost(server, tmp_path):
    server.files["/a"] = CONTENT
    path = get_file("a", server.url + "/a")
    with pytest.raises(ValueError, match=f"digest {sha256(CONTENT)}; {'0' * 64} was expected"):
        get_file("a", server.url + "/a", file_hash="0" * 64)
    assert left(tmp_path) == ["a"] and validate_file(path, sha256(CONTENT))


def test_a_file_with_another_digest_is_fetched_again(server, tmp_path):
    server.files["/a"] = b"old"
    path = get_file("a", server.url + "/a")
    server.files["/a"] = CONTENT
    assert get_file("a", server.url + "/a") == path and not validate_file(path, sha256(CONTENT))
    get_file("a", server.url + "/a", md5_hash=hashlib.md5(CONTENT).hexdigest())
    assert validate_file(path, sha256(CONTENT)) and validate_file(path, hashlib.md5(CONTENT).hexdigest())


def test_a_length_that_is_not_known(server):
    server.files["/a"], server.without_length = CONTENT, True
    assert validate_file(get_file("a", server.url + "/a"), sha256(CONTENT))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (("a", "{}/missing"), OSError, "URL fetch failure on .*/missing: 404"),
        (("a", "http://127.0.0.1:9/a"), OSError, "URL fetch failure on http://127.0.0.1:9/a: .*refused"),
        (("a", "http://no.such.host.invalid/a"), OSError, "URL fetch failure"),
        (("a", "data:,text"), ValueError, "no address of the kind https"),
        (("../a", "{}/a"), ValueError, "leads out of the cache"),
        (("b/../../../a", "{}/a"), ValueError, "leads out of the cache"),
        ((None, "{}/"), ValueError, "has no name of a file"),
        ((None, "{}/%2e%2e"), ValueError, "has no name of a file"),
        (("a", "{}/a", False, None, "abc"), ValueError, "SHA-256 or MD5 digest was expected; got 'abc'"),
    ],
)
def test_downloads_that_fail(server, tmp_path, arguments, error, message):
    server.files["/a"] = CONTENT
    fname, origin, *rest = arguments
    with pytest.raises(error, match=message):
        get_file(fname, origin.format(server.url), *rest)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "address, name",
    [
        ("/data/a.npz", "a.npz"),
        ("/a.npz?dl=1#part", "a.npz"),
        ("/x/%2e%2e%2fb%3a%00.h5", "b__.h5"),
        ("/.bashrc", "bashrc"),
    ],
)
def test_names_from_addresses(server, tmp_path, address, name):
    server.files[address.partition("#")[0]] = CONTENT
    assert get_file(None, server.url + address) == str(tmp_path / "home" / "datasets" / name)


def test_an_interrupt_leaves_nothing_half_written(server, tmp_path, monkeypatch):
    server.files["/a"] = CONTENT

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.Progbar, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get_file("a", server.url + "/a")
    assert left(tmp_path) == []


def test_two_threads_fetch_a_file_once(server, tmp_path):
    server.files["/a"], server.gate = CONTENT, threading.Event()
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(get_file("a", server.url + "/a"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    server.gate.set()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1 and len(paths) == 4 and len(server.asked) == 1 and left(tmp_path) == ["a"]


def _fetch(url):
    print(get_file("a", url, file_hash=sha256(CONTENT)))


@pytest.mark.slow
def test_two_processes_fetch_a_file_once(server, tmp_path):
    server.files["/a"], server.gate = CONTENT, threading.Event()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fetch, args=(server.url + "/a",)) for _ in range(2)]
    for process in processes:
        process.start()
    threading.Timer(0.5, server.gate.set).start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(server.asked) == 1 and left(tmp_path) == ["a"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="the superuser may write everywhere")
def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    server.files["/a"] = CONTENT
    (tmp_path / "home").mkdir(mode=0o500)
    monkeypatch.setattr(download.tempfile, "gettempdir", lambda: str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    path = get_file("a", server.url + "/a")
    assert path.startswith(str(tmp_path / "other")) and os.stat(os.path.join(path, "..", "..")).st_mode & 0o77 == 0


# -------------------------------------------------------------------------------------------------------- archives


def tar_of(members, mode="w:gz"):
    """The bytes of a tar archive: name -> content, or keyword arguments of TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, given in members:
            info = tarfile.TarInfo(name)
            content = given if isinstance(given, bytes) else b""
            info.size = len(content)
            for key, value in () if isinstance(given, bytes) else given.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_of(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def link(target, kind=tarfile.SYMTYPE):
    return {"type": kind, "linkname": target}


@pytest.mark.parametrize("make", [tar_of, zip_of, lambda members: tar_of(members, "w:xz")])
def test_archives_are_unpacked(server, tmp_path, make):
    server.files["/a"] = make(
        [("one.txt", b"1"), ("in/./deep/two.txt", b"22"), ("empty/", b"")][: 3 if make is zip_of else 2]
    )
    for _ in range(2):
        path = get_file("a.archive", server.url + "/a", extract=True)
        folder = tmp_path / "home" / "datasets"
        assert path == str(folder / "a.archive") and (folder / "in" / "deep" / "two.txt").read_bytes() == b"22"
        (folder / "one.txt").unlink()
    assert left(tmp_path) == ["a.archive", "two.txt"]


def test_untar_gives_the_folder(server, tmp_path):
    server.files["/a"] = tar_of([("set/x", b"1")])
    path = get_file("set", server.url + "/a", untar=True)
    assert path == str(tmp_path / "home" / "datasets" / "set") and os.listdir(path) == ["x"]
    assert left(tmp_path) == ["set.tar.gz", "x"]
    server.files["/a"] = new = tar_of([("set/x", b"new"), ("set/y", b"2")])
    get_file("set", server.url + "/a", untar=True, file_hash=sha256(new))
    assert (tmp_path / "home" / "datasets" / "set" / "x").read_bytes() == b"new"
    assert sorted(os.listdir(path)) == ["x", "y"]


def test_links_within_an_archive_become_copies(tmp_path):
    members = [("d/x", b"1"), ("d/y", link("x")), ("z", link("d/y")), ("h", link("d/x", tarfile.LNKTYPE))]
    (tmp_path / "a.tar").write_bytes(tar_of(members))
    assert extract_archive(tmp_path / "a.tar", tmp_path / "out")
    for name in ("d/x", "d/y", "z", "h"):
        assert (tmp_path / "out" / name).read_bytes() == b"1" and not (tmp_path / "out" / name).is_symlink()


ZEROS = bytes(2**22)


@pytest.mark.parametrize(
    "content, message",
    [
        (tar_of([("../x", b"1")]), "'../x' would lie outside"),
        (tar_of([("a/../../x", b"1")]), "would lie outside"),
        (tar_of([("/tmp/x", b"1")]), "would lie outside"),
        (tar_of([("C:\\x", b"1")]), "would lie outside"),
        (tar_of([("..\\x", b"1")]), "would lie outside"),
        (tar_of([("ok", b"1"), ("x", link("/etc/passwd"))]), "outside"),
        (tar_of([("x", link("../../secret"))]), "outside"),
        (tar_of([("x", link("../../secret", tarfile.LNKTYPE))]), "outside"),
        (tar_of([("x", link("x"))]), "no file before it"),
        (tar_of([("out", link("."))]), "no file before it"),
        (tar_of([("x", {"type": tarfile.CHRTYPE})]), "is a device"),
        (tar_of([("x", {"type": tarfile.FIFOTYPE})]), "is a device"),
        (tar_of([("a", ZEROS), ("b", ZEROS)]), "more than 4194304 bytes"),
        (tar_of([(f"{number}", b"") for number in range(9000)]), "more than 4194304 bytes"),
        (tar_of([("x", bytes(range(256)) * 99)])[:200], "damaged"),
        (zip_of([("../x", b"1")]), "would lie outside"),
        (zip_of([("/x", b"1")]), "would lie outside"),
        (zip_of([("a", ZEROS), ("b", ZEROS)]), "more than 4194304 bytes"),
        (zip_of([(zipfile.ZipInfo("x"), b"content")]).replace(b"content", b"kontent"), "damaged"),
        (b"no archive", "no archive of the format"),
    ],
)
def test_archives_that_are_refused(server, tmp_path, monkeypatch, content, message):
    """Nothing of them is left, not even members that are good."""
    monkeypatch.setattr(archives, "ALWAYS_BYTES", 2**22)
    monkeypatch.setattr(archives, "MOST_TIMES", 2)
    server.files["/a"] = content
    with pytest.raises(ValueError, match=message):
        get_file("a.archive", server.url + "/a", extract=True)
    assert left(tmp_path) == ["a.archive"] and not os.path.exists(tmp_path / "x")


def test_a_zip_that_links(tmp_path):
    info = zipfile.ZipInfo("x")
    info.external_attr = 0o120777 << 16
    (tmp_path / "a.zip").write_bytes(zip_of([(info, b"/etc/passwd")]))
    with pytest.raises(ValueError, match="is a link"):
        extract_archive(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "archive_format, expected", [("auto", True), ("zip", True), ("tar", False), (None, False), ([], False)]
)
def test_formats_of_archives(tmp_path, archive_format, expected):
    (tmp_path / "a").write_bytes(zip_of([("x", b"1")]))
    assert extract_archive(tmp_path / "a", tmp_path / "out", archive_format) is expected
    assert (tmp_path / "out" / "x").exists() is expected


# --------------------------------------------------------------------------------------------------------- pickles


def object_array(lists):
    array = np.empty(len(lists), object)
    for place, item in enumerate(lists):
        array[place] = item
    return array


def npz_of(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [object_array([[1, 2], [], [3]]), object_array([[1], [2]]), np.arange(6, dtype=">i2").reshape(2, 3)]
    + [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 2), "uint8"),
        {"data": np.arange(3), "labels": [1]},
    ],
    ids=["ragged", "even", "big endian", "fortran", "empty", "dict"],
)
def test_pickles_of_arrays_are_read(value, protocol):
    def check(found, expected):
        if isinstance(expected, np.ndarray):
            assert found.shape == expected.shape and found.tolist() == expected.tolist()
            assert found.dtype == expected.dtype
        else:
            assert found == expected

    found = pickled.read_pickle(io.BytesIO(pickle.dumps(value, protocol)), "x")
    if isinstance(value, dict):
        assert list(found) == list(value)
        for name, expected in value.items():
            check(found[name], expected)
    else:
        check(found, value)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/jkeras-test-evil",)


def python_2_pickle(data, labels):
    """What cPickle of Python 2 made of a batch of CIFAR: strings are bytes."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR(I1\n(I%d\nI%d\ntcnumpy\ndtype\n"
        b"(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbI00\nT"
    ) % data.shape
    labels = b"(l" + b"".join(b"I%d\na" % label for label in labels)
    size = data.size.to_bytes(4, "little")
    return b"\x80\x02}(U\x04data" + array + size + data.tobytes() + b"tbU\x06labels" + labels + b"u."


def test_pickles_of_python_2_are_read():
    data = np.arange(6, dtype="uint8").reshape(2, 3)
    found = pickled.read_pickle(io.BytesIO(python_2_pickle(data, [4, 5])), "x")
    np.testing.assert_array_equal(found[b"data"], data, strict=True)
    assert found[b"labels"] == [4, 5]


@pytest.mark.parametrize(
    "content",
    [pickle.dumps(value) for value in (Evil(), [Evil()], {"x": Evil()}, print, np.dtype("f4").newbyteorder, np.float32)]
    + [pickle.dumps(object_array([[1], Evil()])), pickle.dumps(np.zeros(2, "f4,i4")), pickle.dumps(np.arange(99))[:-20]]
    + [b"", b"\x80\x04.", b"cnumpy\nfromfile\n."],
)
def test_pickles_that_are_refused(content):
    with pytest.raises(ValueError, match="the file cannot be read"):
        pickled.read_pickle(io.BytesIO(content), "the file")
    assert not os.path.exists("/tmp/jkeras-test-evil")


def test_npz_files(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": object_array([[1], [2, 3]]), "c": np.array(3, "int16")}
    (tmp_path / "a.npz").write_bytes(content := npz_of(**arrays))
    found = pickled.read_npz(tmp_path / "a.npz")
    for name, expected in arrays.items():
        np.testing.assert_array_equal(found[name], expected, strict=True)
    for size in (10, len(content) // 2, len(content) - 5):
        (tmp_path / "a.npz").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"a\.npz is damaged"):
            pickled.read_npz(tmp_path / "a.npz")


# ------------------------------------------------------------------------------------------------------- data sets


def offer(server, monkeypatch, module, content, origin="ORIGIN", digest="DIGEST"):
    """Have a data set come from this server."""
    name = f"/{module.__name__}.{origin}"
    server.files[name] = content
    monkeypatch.setattr(module, origin, server.url + name)
    monkeypatch.setattr(module, digest, sha256(content))


def test_mnist(server, monkeypatch):
    images, labels = np.arange(5 * 28 * 28, dtype="uint8").reshape(5, 28, 28), np.arange(5, dtype="uint8")
    content = npz_of(x_train=images[:3], y_train=labels[:3], x_test=images[3:], y_test=labels[3:])
    offer(server, monkeypatch, mnist, content)
    for _ in range(2):
        (x_train, y_train), (x_test, y_test) = mnist.load_data()
        np.testing.assert_array_equal(np.concatenate([x_train, x_test]), images, strict=True)
        np.testing.assert_array_equal(np.concatenate([y_train, y_test]), labels, strict=True)
    assert len(server.asked) == 1


def test_fashion_mnist(server, monkeypatch, tmp_path):
    images, labels = np.arange(5 * 28 * 28, dtype="uint8").reshape(5, 28, 28), np.arange(5, dtype="uint8")

    def idx(array):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
        return gzip.compress(head + array.tobytes())

    for name, array in zip(fashion_mnist.DIGESTS, (labels[:3], images[:3], labels[3:], images[3:]), strict=True):
        server.files["/" + name] = idx(array)
        monkeypatch.setitem(fashion_mnist.DIGESTS, name, sha256(idx(array)))
    monkeypatch.setattr(fashion_mnist, "ORIGIN", server.url + "/")
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    np.testing.assert_array_equal(np.concatenate([x_train, x_test]), images, strict=True)
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), labels, strict=True)
    assert (tmp_path / "home" / "datasets" / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").exists()
    for content in (idx(images)[:-9], gzip.compress(b"\0\0\x08"), gzip.compress(idx(images)), b""):
        (tmp_path / "damaged").write_bytes(content)
        with pytest.raises(ValueError, match="damaged is damaged"):
            fashion_mnist._read_idx(tmp_path / "damaged")


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_cifar(server, monkeypatch, layout):
    config.set_image_data_format(layout)
    data = np.random.RandomState(0).randint(0, 256, (14, 3072)).astype("uint8")
    images = data.reshape(14, 3, 32, 32)
    images = images.transpose(0, 2, 3, 1) if layout == "channels_last" else images
    files = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    batches = [
        (f"cifar-10-batches-py/{name}", python_2_pickle(data[2 * i : 2 * i + 2], [i, 9]))
        for i, name in enumerate(files)
    ]
    offer(server, monkeypatch, cifar10, tar_of(batches))
    (x_train, y_train), (x_test, y_test) = cifar10.load_data()
    np.testing.assert_array_equal(x_train, images[:10], strict=True)
    np.testing.assert_array_equal(x_test, images[10:12], strict=True)
    assert y_train.tolist() == [[label] for i in range(5) for label in (i, 9)] and y_train.dtype == "uint8"
    assert y_test.tolist() == [[5], [9]]

    content = [
        (
            f"cifar-100-python/{name}",
            pickle.dumps({b"data": data[part], b"fine_labels": [3] * 7, b"coarse_labels": [1] * 7}),
        )
        for name, part in (("train", slice(7)), ("test", slice(7, 14)))
    ]
    offer(server, monkeypatch, cifar100, tar_of(content))
    for mode, label in (("fine", 3), ("coarse", 1)):
        (x_train, y_train), (x_test, y_test) = cifar100.load_data(mode)
        np.testing.assert_array_equal(np.concatenate([x_train, x_test]), images, strict=True)
        assert y_train.tolist() == y_test.tolist() == [[label]] * 7
    with pytest.raises(ValueError, match="'fine' or 'coarse'; got 'both'"):
        cifar100.load_data("both")


def test_boston_housing(server, monkeypatch):
    x, y = np.arange(26.0).reshape(13, 2), np.arange(13.0)
    offer(server, monkeypatch, boston_housing, npz_of(x=x, y=y))
    (x_train, y_train), (x_test, y_test) = boston_housing.load_data(test_split=0.3, seed=5)
    order = np.arange(13)
    np.random.RandomState(5).shuffle(order)
    np.testing.assert_array_equal(np.concatenate([x_train, x_test]), x[order], strict=True)
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), y[order], strict=True)
    assert len(x_train) == len(y_train) == 9
    with pytest.raises(ValueError, match="at least 0 and below 1; got 1"):
        boston_housing.load_data(test_split=1)


WORDS = [np.random.RandomState(seed).randint(1, 30, seed % 7).tolist() for seed in range(40)]
LABELS = np.arange(40) % 2


def expected_texts(
    parts, first, num_words=None, skip_top=0, maxlen=None, start_char=1, oov_char=2, index_from=3, seed=113
):
    """What Keras 2.2.4 makes of texts, said word for word."""
    stream, texts = np.random.RandomState(seed), []
    for part in parts:
        order = np.arange(len(part))
        stream.shuffle(order)
        texts += [part[place] for place in order]
    rows = [([] if start_char is None else [start_char]) + [word + index_from for word in words] for words, _ in texts]
    labels = [label for _, label in texts]
    if maxlen:
        labels = [label for row, label in zip(rows, labels, strict=True) if len(row) < maxlen]
        rows = [row for row in rows if len(row) < maxlen]
    limit = num_words or max(itertools.chain.from_iterable(rows))
    rows = [
        [
            word if skip_top <= word < limit else oov_char
            for word in row
            if skip_top <= word < limit or oov_char is not None
        ]
        for row in rows
    ]
    border = first if isinstance(first, int) else int(len(rows) * first)
    return rows[:border], labels[:border], rows[border:], labels[border:]


TEXT_OPTIONS = [
    {}, {"num_words": 20}, {"num_words": 20, "skip_top": 6}, {"maxlen": 5}, {"start_char": None}, {"oov_char": None},
    {"start_char": None, "index_from": 0, "num_words": 9, "oov_char": None}, {"seed": 4, "maxlen": 4, "skip_top": 2},
]  # fmt: skip


@pytest.mark.parametrize("options", TEXT_OPTIONS, ids=str)
def test_texts(server, monkeypatch, options):
    texts = object_array(WORDS)
    content = npz_of(x_train=texts[:25], y_train=LABELS[:25], x_test=texts[25:], y_test=LABELS[25:])
    offer(server, monkeypatch, imdb, content)
    offer(server, monkeypatch, reuters, npz_of(x=texts, y=LABELS))
    pairs = list(zip(WORDS, LABELS, strict=True))

    def check(found, expected):
        (x_train, y_train), (x_test, y_test) = found
        assert (list(x_train), list(y_train), list(x_test), list(y_test)) == expected
        assert all(type(word) is int for row in x_train for word in row)

    check(imdb.load_data(**options), expected_texts([pairs[:25], pairs[25:]], 25, **options))
    check(reuters.load_data(test_split=0.3, **options), expected_texts([pairs], 0.7, **options))


def test_texts_that_are_all_too_long_and_unknown_arguments(server, monkeypatch):
    offer(server, monkeypatch, reuters, npz_of(x=object_array(WORDS), y=LABELS))
    with pytest.raises(ValueError, match="no text is shorter than maxlen=1"):
        reuters.load_data(maxlen=1)
    with pytest.raises(TypeError, match=r"unknown arguments \['nm_words'\]"):
        reuters.load_data(nm_words=3)
    with pytest.warns(UserWarning, match="now called `num_words`"):
        (x_train, _), _ = reuters.load_data(nb_words=9)
    assert max(itertools.chain.from_iterable(x_train)) < 9


@pytest.mark.parametrize("module", [imdb, reuters])
def test_word_indices(server, monkeypatch, module):
    index = {"the": 1, "straße": 2}
    offer(server, monkeypatch, module, json.dumps(index).encode(), "INDEX_ORIGIN", "INDEX_DIGEST")
    assert module.get_word_index() == index


def test_nothing_of_a_broken_download_is_taken_for_a_data_set(server, monkeypatch, tmp_path):
    content = npz_of(x=np.arange(26.0).reshape(13, 2), y=np.arange(13.0))
    offer(server, monkeypatch, boston_housing, content)
    server.most = 100
    with contextlib.suppress(OSError):
        boston_housing.load_data()
    assert left(tmp_path) == [".boston_housing.npz.part"]
    server.most = None
    assert len(boston_housing.load_data()[0][0]) == 10
