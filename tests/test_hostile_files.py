"""Files and configs from strangers: nothing in them is run, nothing outside of them is read, memory is not taken.

One entry for every fault that was found in a Keras so far, and for each way in that HDF5, JSON, YAML, zip and pickle
offer, through every function that reads such things. While they read, an audit hook watches.
"""

import contextlib
import functools
import io
import json
import os
import pickle
import resource
import signal
import sys
import threading
import time
import tracemalloc
import zipfile
import zlib
from typing import Any

import fuzz_files
import h5py
import numpy as np
import pytest

from jkeras import initializers, layers, losses, models, optimizers, regularizers
from jkeras.callbacks import BackupAndRestore
from jkeras.datasets import pickled
from jkeras.graph.tensor import Variable
from jkeras.preprocessing.text import tokenizer_from_json
from jkeras.serialize import checkpoint, code, trust
from jkeras.serialize.trust import LoadError
from jkeras.utils import HDF5Matrix, get_custom_objects
from jkeras.utils.generic_utils import func_dump
from jkeras.utils.io_utils import H5Dict

SLACK = 40 << 20  # bytes that reading may take besides what is read
SECRET = np.full((4, 3), 1234.5, "float32")

# ----------------------------------------------------------------------------------------------------------- watching

_FORBIDDEN = ("import", "marshal.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.", "socket.",
              "urllib.", "ctypes.dlopen", "shutil.", "os.remove", "os.rename", "os.mkdir", "webbrowser.")  # fmt: skip
_watched: dict = {}


def _hook(event, arguments):
    """Notes what the watched thread does that reading a file should not."""
    if _watched.get("thread") != threading.get_ident():
        return
    if event == "open":
        path = arguments[0]
        inside = not isinstance(path, (str, os.PathLike)) or str(path).startswith(_watched["folder"])
        if not inside and not str(path).endswith(".py"):  # which tracebacks show
            _watched["found"].append((event, str(path)))
    elif event.startswith(_FORBIDDEN) and not (event == "import" and arguments[0] in sys.modules):
        _watched["found"].append((event, str(arguments)[:200]))


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory):
    """Everything that reading imports has been imported; the hook, which stays for good, is set."""
    path = tmp_path_factory.mktemp("warm") / "m.h5"
    model = small()
    model.save(path)
    for load in (models.load_model, model.load_weights):
        load(path)
    models.model_from_yaml(model.to_yaml())
    for broken in ("", "[", "!!x"):
        with contextlib.suppress(LoadError):
            models.model_from_yaml(broken)
    checkpoint.write(path, {})
    checkpoint.read(path)
    sys.addaudithook(_hook)


@contextlib.contextmanager
def watched(folder, size):
    """Inside, this thread may open files in `folder` only, and take twice `size` bytes of memory."""
    found: list = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    _watched.update(folder=str(folder), found=found, thread=threading.get_ident())
    try:
        yield
    finally:
        _watched.clear()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert not found
    assert peak < 2 * size + SLACK and (after - before) * 1024 < 2 * size + 4 * SLACK


def small():
    model = models.Sequential([layers.Dense(3, input_shape=(4,), name="first"), layers.Dense(2, name="second")])
    model.compile("sgd", "mse")
    return model


def refused(load, message=None):
    """`load()` raises jkeras's error, of one bounded line."""
    with pytest.raises(ValueError, match=message) as raised:
        load()
    # Weights that do not fit are plain ValueErrors: the file may be right, and the model another one.
    assert isinstance(raised.value, LoadError) or "shape" in str(raised.value)
    assert len(str(raised.value)) < 2000 and "\n" not in str(raised.value)
    assert str(raised.value).isprintable()
    return str(raised.value)


# --------------------------------------------------------------------------------------------------------------- HDF5


def replaced(make):
    """An attack that puts something in place of the first kernel."""

    def attack(file, folder):
        for group in (file["model_weights/first/first"], file["data"]):
            name = "kernel:0" if "kernel:0" in group else "x"
            del group[name]
            make(group, name, folder)

    return attack


def external_storage(group, name, folder):
    (folder.parent / "secret.bin").write_bytes(SECRET.tobytes())
    group.create_dataset(name, (4, 3), "float32", external=[(str(folder.parent / "secret.bin"), 0, 48)])


def external_link(group, name, folder):
    with h5py.File(folder.parent / "secret.h5", "w") as secret:
        secret["x"] = SECRET
    group[name] = h5py.ExternalLink(str(folder.parent / "secret.h5"), "x")


def soft_link(group, name, folder):
    external_link(group, "other", folder)
    group[name] = h5py.SoftLink(f"{group.name}/other")


def virtual(group, name, folder):
    with h5py.File(folder.parent / "secret.h5", "w") as secret:
        secret["x"] = SECRET
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource(str(folder.parent / "secret.h5"), "x", (4, 3))
    group.create_virtual_dataset(name, layout)


def claimed(shape, **options):
    def make(group, name, folder):
        group.create_dataset(name, shape, "float32", **options)

    return make


def bomb(group, name, folder):
    """One gigabyte of zeros."""
    dataset = group.create_dataset(name, (1 << 26, 4), "float32", chunks=(1 << 20, 4), compression="gzip")
    piece = zlib.compress(bytes(1 << 24))
    for start in range(0, 1 << 26, 1 << 20):
        dataset.id.write_direct_chunk((start, 0), piece)


def swollen_piece(group, name, folder):
    dataset = group.create_dataset(name, (4, 3), "float32", chunks=(4, 3), compression="gzip")
    dataset.id.write_direct_chunk((0, 0), zlib.compress(bytes(1 << 24)))


def texts(group, name, folder):
    group[name] = "a text"


def whole_group(group, name, folder):
    group.create_group(name)


def circle(group, name, folder):
    group[name] = group


def twice(file, folder):
    for group in (file["model_weights"], file["model_weights/first"]):
        for attribute in ("layer_names", "weight_names"):
            if attribute in group.attrs:
                group.attrs[attribute] = np.array([b"first"] * 4000)
    del file["data"]


def broken_heap(file, folder):
    file.attrs["marks"] = "here stands a mark"


def many_names(file, folder):
    """Each of 400 layers has the same 400 weights."""
    group = file["model_weights"]
    layer, names = group.create_group("w"), np.array([f"w{number}".encode() for number in range(400)])
    layer["w0"] = np.zeros(1, "float32")
    for name in names[1:]:
        layer[name] = layer["w0"]
    layer.attrs["weight_names"] = names
    for name in names:
        group[b"l" + name] = layer
    del file["data"], group.attrs["layer_names"]
    group.attrs["layer_names"] = np.char.add(b"l", names)


def as_bytes(content):
    """An attack by bytes in an array, which the search for texts comes across."""

    def attack(file, folder):
        file["junk"] = np.frombuffer(content, "uint8")
        file.attrs["model_config"] = "a text of variable length"
        del file["model_weights"].attrs["backend"]
        file["model_weights"].attrs["backend"] = "tensorflow"
        del file["data"]

    return attack


def heaps_in_heaps(count=3000):
    """Each begins where the one before has a text of 16 bytes."""
    text = b"\1".ljust(8, b"\0") + (16).to_bytes(8, "little")
    return b"".join(text + b"GCOL\1\0\0\0" + (32 * left - 16).to_bytes(8, "little") for left in range(count, 0, -1))


def attributes_in_attributes():
    """Each says that so many texts follow as there is room for."""
    content, shape = b"", b"\x19".ljust(8, b"\0") + b"\1\1".ljust(8, b"\0") + (1 << 40).to_bytes(16, "little")
    for name in (b"model_config\0", b"backend\0"):
        sizes = b"".join(size.to_bytes(2, "little") for size in (len(name), 8, 24))
        content += b"\1\0" + sizes + name.ljust(-(-len(name) // 8) * 8, b"\0") + shape
    return content * 3000


def break_heap(content):
    """A heap whose next part is no further on, for which HDF5 looks for ever."""
    place = content.index(b"GCOL") + 16
    return content[: place + 8] + (2**64 - 16).to_bytes(8, "little") + content[place + 16 :]


HDF5 = {
    "CVE-2026-1669: external storage": replaced(external_storage),
    "external link": replaced(external_link),
    "soft link": replaced(soft_link),
    "virtual data set": replaced(virtual),
    "CVE-2026-0897: petabytes": replaced(claimed((1 << 47, 3))),
    "two gigabytes": replaced(claimed((1 << 28, 2))),
    "two gigabytes in pieces": replaced(claimed((1 << 28, 2), chunks=(1024, 2))),
    "petabytes, packed": replaced(claimed((1 << 47, 3), chunks=(1024, 3), compression="gzip")),
    "gzip bomb": replaced(bomb),
    "a piece that swells": replaced(swollen_piece),
    "texts": replaced(texts),
    "a group": replaced(whole_group),
    "a circle": replaced(circle),
    "names that come twice": twice,
    "a heap without end": broken_heap,
    "many names of one thing": many_names,
    "heaps in heaps": as_bytes(heaps_in_heaps()),
    "attributes in attributes": as_bytes(attributes_in_attributes()),
}
H5_READERS = {
    "load_model": models.load_model,
    "bytes": lambda path: models.load_model(path.read_bytes()),
    "file object": lambda path: models.load_model(io.BytesIO(path.read_bytes())),
    "load_weights": lambda path: small().load_weights(path),
    "by name": lambda path: small().load_weights(path, by_name=True),
    "group": lambda path: with_group(path, models.load_model),
    "HDF5Matrix": lambda path: HDF5Matrix(str(path), "data/x")[0:1],
    "H5Dict": lambda path: H5Dict(str(path), mode="r")["data"]["x"],
}


def test_many_pieces(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.zeros(20_000, "int8"), chunks=(1,), compression="gzip")
    begun = time.monotonic()
    assert not H5Dict(str(tmp_path / "a.h5"), mode="r")["x"].any()
    assert time.monotonic() - begun < 4


def test_interrupted_loads_leave_all_weights_of_one_file(tmp_path, monkeypatch):
    model, path = small(), tmp_path / "m.h5"
    model.set_weights([np.full_like(weight, 5) for weight in model.get_weights()])
    model.save_weights(path)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    before: Any = Variable.value

    def interrupted(variable, value):
        signal.raise_signal(signal.SIGINT)
        before.fset(variable, value)

    monkeypatch.setattr(Variable, "value", property(before.fget, interrupted))
    with pytest.raises(KeyboardInterrupt):
        model.load_weights(path)
    assert all((weight == 5).all() for weight in model.get_weights())


def with_group(path, load):
    with h5py.File(path) as file:
        return load(file)


@pytest.mark.parametrize("reader", H5_READERS)
@pytest.mark.parametrize("attack", HDF5)
def test_hdf5(attack, reader, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model.h5"
    small().save(path)
    with h5py.File(path, "a") as file:
        file["data/x"] = np.zeros((4, 3), "float32")
        HDF5[attack](file, folder)
    if HDF5[attack] is broken_heap:
        path.write_bytes(break_heap(path.read_bytes()))
    by_rows = {
        "by name": "many",
        "HDF5Matrix": ("texts", "gzip bomb", "a piece", "a heap"),
        "H5Dict": ("texts", "a ", "names", "many", "heaps", "attributes"),
    }
    begun = time.monotonic()
    with watched(folder, path.stat().st_size):
        if attack.startswith(
            by_rows.get(reader, ("-",))
        ):  # what it reads are texts, too, or rows, as they are asked for
            with contextlib.suppress(ValueError, OSError):
                H5_READERS[reader](path)
        else:
            message = refused(lambda: H5_READERS[reader](path))
            assert "model.h5" in message or "the bytes" in message or reader == "H5Dict"
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("reader", ["load_model", "load_weights", "HDF5Matrix", "H5Dict"])
def test_what_is_no_file(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("no HDF5")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "text", "empty", "link", "."):
        with watched(tmp_path, 0):
            assert str(tmp_path) in refused(lambda name=name: H5_READERS[reader](tmp_path / name))
    with pytest.raises(FileNotFoundError):
        H5_READERS[reader](tmp_path / "nothing")


# -------------------------------------------------------------------------------------------------------------- configs


def layer(class_name, **config):
    return {"class_name": class_name, "config": {"name": "evil", "batch_input_shape": [None, 4], **config}}


def alone(class_name, **config):
    """A model of one layer."""
    return {"class_name": "Sequential", "config": [layer(class_name, **config)]}


def foreign_code():
    """A config with code that this process does not know."""
    config = layers.Lambda(lambda x: __import__("os").system("true") or x).get_config()
    text = json.loads(json.dumps(config))
    text["function"] = list(func_dump(lambda x: __import__("os").system("true") or x))
    return {**text, "name": "evil", "batch_input_shape": [None, 4]}


LAMBDA = {"function_type": "function", "output_shape": None, "output_shape_type": "raw"}
CONFIGS = {
    "CVE-2024-3660, CVE-2025-9905, CVE-2026-12481: code": lambda: {"class_name": "Lambda", "config": foreign_code()},
    "CVE-2025-1550: a name to import": lambda: {"module": "os", "registered_name": "system", **layer("system")},
    "a function to import": lambda: layer("Lambda", function={"class_name": "function", "config": "system",
                                                              "module": "os"}, **LAMBDA),
    "CVE-2025-8747: a function of Keras": lambda: layer("Lambda", function="get_file", **LAMBDA,
                                                        arguments={"origin": "http://127.0.0.1/x"}),
    "CVE-2025-9906: a switch": lambda: layer("Lambda", function="allow_code", **LAMBDA),
    "a switch in the file": lambda: {"allow_code": True, **layer("Lambda", **foreign_code(), allow_code=True)},
    "CVE-2025-49655: a pickled module": lambda: layer("TorchModuleWrapper", module=pickle.dumps(print).hex()),
    "CVE-2025-12058: a path to a vocabulary": lambda: layer("StringLookup", vocabulary="/etc/passwd"),
    "CVE-2026-1462, CVE-2026-12479: a path to a model": lambda: layer("TFSMLayer", filepath="/etc"),
    "a path": lambda: alone("Dense", units=3, weights="/etc/passwd"),
    "eval": lambda: layer("eval", expression="1"),
    "an initializer to import": lambda: layer("Dense", units=3, kernel_initializer="os.system"),
    "a dunder": lambda: layer("__class__"),
    "a registered function as a layer": lambda: layer("run", command="true"),
    "a registered function as an initializer": lambda: layer(
        "Dense", units=3, kernel_initializer={"class_name": "run", "config": {"command": "true"}}),
    "a registered function as a regularizer": lambda: layer(
        "Dense", units=3, kernel_regularizer={"class_name": "run", "config": {"command": "true"}}),
    "arguments that a registered function does not have": lambda: layer("Lambda", function="harmless", **LAMBDA,
                                                                        arguments={"command": "true"}),
    "units": lambda: alone("Dense", units=10**12),
    "padding": lambda: alone("ZeroPadding1D", padding=10**9, batch_input_shape=[None, 4, 64]),
    "a vocabulary": lambda: alone("Embedding", input_dim=10**13, output_dim=2),
    "repeats": lambda: alone("RepeatVector", n=10**12),
    "unrolled": lambda: alone("SimpleRNN", units=1, unroll=True, batch_input_shape=[None, 10**8, 1]),
    "a window": lambda: alone("MaxPooling2D", pool_size=[10**6, 10**6], padding="same",
                              batch_input_shape=[None, 4, 4, 1]),
    "deep": lambda: deep(5000),
    "models that call one another": lambda: doubled(30),
    "long texts as an array": lambda: layer("Lambda", function="x", arguments={
        "a": {"type": "ndarray", "value": ["x" * 10**6] + [""] * 100}}),
    "letters that terminals obey": lambda: layer("\x1b[2J"),
    "no layers": lambda: {"class_name": "Model", "config": {"name": "m"}},
    "no config": lambda: {"class_name": "Dense"},
    "a list for a name": lambda: {"class_name": ["Dense"], "config": {}},
    "nothing": lambda: None,
    "a text of layers": lambda: {"class_name": "Sequential", "config": "Dense" * 10**4},
    "a call of nothing": lambda: {"class_name": "Model", "config": {
        "name": "m", "layers": [{"name": "x", "inbound_nodes": [[["y", -1, 10**9, {}]]], **layer("Dense", units=1)}],
        "input_layers": [["x", 0, 0]], "output_layers": [["x", 0, 0]]}},
}  # fmt: skip


def deep(levels):
    config = layer("Dense", units=1)
    for _ in range(levels):
        config = {"class_name": "Sequential", "config": [config]}
    return config


def doubled(levels):
    """Each model calls the one inside twice."""
    place = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 4]}}
    config = {"class_name": "Dense", "name": "y", "config": {"name": "y", "units": 4}}
    for level in range(levels):
        first = 1 if level else 0  # call 0 of a model is its own
        inner = {**config, "inbound_nodes": [[["x", 0, 0, {}]], [["y", first, 0, {}]]]}
        config = {"class_name": "Model", "name": "y", "config": {
            "name": "y", "layers": [{**place, "inbound_nodes": []}, inner], "input_layers": [["x", 0, 0]],
            "output_layers": [["y", first + 1, 0]]}}  # fmt: skip
    return config


def test_a_function_in_place_of_code_gets_the_arguments_that_it_has():
    config = layer("Lambda", **foreign_code())
    config["config"]["arguments"] = {"command": "true"}
    known = {"evil": lambda x, **more: x}
    refused(lambda: models.model_from_config({"class_name": "Sequential", "config": [config]}, known), "no arguments")


def test_stacks_in_stacks():
    """What many layers hold in one another took twice the time with each."""
    begun = time.monotonic()
    assert models.model_from_config(deep(25)).output_shape == (None, 1)
    assert time.monotonic() - begun < 10


def in_file(config, folder):
    small().save(folder / "model.h5")
    with h5py.File(folder / "model.h5", "a") as file:
        file.attrs["model_config"] = dumped(config)
    return folder / "model.h5"


def dumped(config) -> str:
    """`config` as JSON, however deep it is."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        return json.dumps(config)
    finally:
        sys.setrecursionlimit(limit)


CONFIG_READERS = {
    "config": lambda config, folder: lambda: models.model_from_config(config),
    "JSON": lambda config, folder: functools.partial(models.model_from_json, dumped(config)),
    "YAML": lambda config, folder: functools.partial(models.model_from_yaml, dumped(config)),
    "deserialize": lambda config, folder: lambda: layers.deserialize(config),
    "file": lambda config, folder: functools.partial(models.load_model, in_file(config, folder), compile=False),
    "Sequential": lambda config, folder: lambda: models.Sequential.from_config([config]),
}


@pytest.fixture
def registered(monkeypatch):
    """Functions that a user registered; they must not be called."""
    called: list = []
    monkeypatch.setitem(get_custom_objects(), "run", lambda command="": called.append(command))
    monkeypatch.setitem(get_custom_objects(), "harmless", lambda x, **more: called.append(more) or x)
    monkeypatch.setattr(code, "_functions", {})  # as in another process
    yield
    assert not called


@pytest.mark.parametrize("reader", CONFIG_READERS)
@pytest.mark.parametrize("attack", CONFIGS)
def test_configs(attack, reader, tmp_path, registered):
    config = CONFIGS[attack]()
    if attack == "deep" and reader == "YAML":
        config = deep(100)  # whose reader takes its time
    load = CONFIG_READERS[reader](config, tmp_path)
    with watched(tmp_path, 1 << 20):
        refused(load)


def test_many_weights_that_fit_one_by_one(monkeypatch):
    model = models.Sequential([layers.Dense(200, input_shape=(200,)), *(layers.Dense(200) for _ in range(8))])
    text = model.to_json()
    monkeypatch.setattr(trust, "_memory", lambda: 1 << 20)
    refused(lambda: models.model_from_json(text), "its weights")


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "CVE-2021-37678: os.system": "!!python/object/apply:os.system ['true']",
    "a new object": "!!python/object/new:subprocess.Popen [['true']]",
    "a module": "!!python/module:antigravity",
    "a name": "class_name: !!python/name:os.system\nconfig: {}",
    "laughs": LAUGHS,
    "laughs in a config": LAUGHS + "class_name: Sequential\nconfig: *i\n",
    "laughs that merge": "a: &a {x: 1}\n" + "".join(
        f"{b}: &{b}\n  <<: [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "long texts": f"a: &a {'x' * 10**6}\nclass_name: Lambda\nconfig: {{function: [{'*a, ' * 1000}]}}\n",
    "a circle": "&a [*a]",
    "a circle in a config": "class_name: Sequential\nconfig: &a [*a]",
    "a long number": f"class_name: {'1:' * 50000}1\nconfig: {{}}",
    "digits": f"class_name: 0x{'f' * 50000}\nconfig: {{}}",
    "a date": "class_name: Dense\nconfig: {units: 2001-01-01}",
    "depth": "[" * 5000 + "]" * 5000,
    "broken": "a: [b: c",
}  # fmt: skip


@pytest.mark.parametrize("attack", YAML)
def test_yaml(attack, tmp_path):
    with watched(tmp_path, 1 << 20):
        refused(lambda: models.model_from_yaml(YAML[attack]), "YAML: ")


@pytest.mark.parametrize("text", ["", "[", "[]", "7", "null", '"Dense"', "[" * 10**5, "1" * 10**5, '{"class_name": 7}'])
def test_json(text, tmp_path):
    with watched(tmp_path, 1 << 20):
        refused(lambda: models.model_from_json(text), "JSON")
        refused(lambda: tokenizer_from_json(text), "JSON")


@pytest.mark.parametrize(
    "deserialize", [losses.deserialize, optimizers.deserialize, initializers.deserialize, regularizers.deserialize]
)
@pytest.mark.parametrize("config", [{"command": "true"}, {}, 7, [1], {"run": {}}])
def test_objects(deserialize, config, registered):
    for name in ("run", "os.system", "Nonsense"):
        refused(lambda name=name: deserialize({"class_name": name, "config": config}))


def test_training_config_names_nothing_but_what_is_known(tmp_path, registered):
    small().save(tmp_path / "model.h5")
    evil = [{"class_name": "run", "config": {"command": "true"}}, "os.system", "run.x", 7]
    with h5py.File(tmp_path / "model.h5", "a") as file:
        training = json.loads(file.attrs["training_config"])
        for key in ("loss", "metrics", "optimizer_config"):
            for value in evil:
                file.attrs["training_config"] = json.dumps({**training, key: [value] if key == "metrics" else value})
                with watched(tmp_path, 1 << 20):
                    refused(lambda: models.load_model(file), "training_config")  # noqa: B023
                models.load_model(file, compile=False)


# ------------------------------------------------------------------------------------------------- archives and pickles


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def archive(name, content, method=zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as file:
        file.writestr(name, content)
    return target.getvalue()


def npy(shape, descr="<f4", data=b"") -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, {"descr": descr, "fortran_order": False, "shape": shape})
    return target.getvalue() + data


ARCHIVES = {
    "a pickle": archive("tree.npy", npy((1,), "|O", pickle.dumps(Evil()))),
    "petabytes": archive("tree.npy", npy((1 << 50,))),
    "a bomb": archive("tree.npy", npy((1 << 25,), "<f4", bytes(1 << 27)), zipfile.ZIP_DEFLATED),
    "code in a header": archive("tree.npy", b"\x93NUMPY\x01\x00\x40\x00" + b"__import__('os')".ljust(64)),
    "a tree of nothing": archive("tree.npy", npy((2,), "|u1", b"{}")),
    "a deep tree": archive("tree.npy", npy((60000,), "|u1", b"[" * 30000 + b"]" * 30000)),
    "no archive": b"PK\x03\x04" + bytes(100),
    "empty": b"",
    "only a pickle": pickle.dumps(Evil()),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["V16", "U4", "O", "i4,O", {"names": ["a"], "formats": ["O"]}])
def test_types_in_checkpoints(dtype, tmp_path):
    tree = np.frombuffer(json.dumps({"array": "a", "dtype": dtype}).encode(), "uint8")
    np.savez(tmp_path / "a.npz", tree=tree, a=np.zeros((2, 16), "uint8"))
    refused(lambda: checkpoint.read(tmp_path / "a.npz"))


def doubling(levels):
    """A pickle of dicts, each of which holds the one before twice."""
    value: dict = {}
    for _ in range(levels):
        value = {1: value, 2: value}
    return io.BytesIO(pickle.dumps(value))


def test_pickles_that_take_their_time():
    assert list(pickled.read_pickle(doubling(60), "x")) == [1, 2]
    text = pickle.BINUNICODE + (10**5).to_bytes(4, "little") + b"x" * 10**5
    names = b"c_codecs\nencode\n" + text + b"X\x08\0\0\0punycode\x86R."
    refused(lambda: pickled.read_pickle(io.BytesIO(b"\x80\2" + names), "x"), "latin1")


def backup(path):
    return BackupAndRestore(path.parent).load()


@pytest.mark.parametrize("reader", [checkpoint.read, pickled.read_npz, backup])
@pytest.mark.parametrize("attack", ARCHIVES)
def test_archives(attack, reader, tmp_path):
    path = tmp_path / "backup.npz"
    path.write_bytes(ARCHIVES[attack])
    with watched(tmp_path, len(ARCHIVES[attack])):
        if reader is pickled.read_npz and "tree" in attack:
            reader(path)  # numbers, for it
        else:
            refused(lambda: reader(path))


# --------------------------------------------------------------------------------------------------------------- errors


def test_errors_name_the_file_the_place_what_stands_there_and_all_that_is_unknown(tmp_path):
    model = models.Sequential([layers.Dense(3, input_shape=(4,)), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    path = tmp_path / "model.h5"
    model.save(path)
    with h5py.File(path, "a") as file:
        config, training = (json.loads(file.attrs[name]) for name in ("model_config", "training_config"))
        for number, name in enumerate(("First", "Second")):
            config["config"]["layers"][number]["class_name"] = name
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["training_config"] = json.dumps(
            {**training, "loss": "my_loss", "metrics": ["my_metric", "accuracy"]}
        )
    message = refused(lambda: models.load_model(path))
    for name in (str(path), "First", "Second", "my_loss", "my_metric"):
        assert name in message
    assert "accuracy" not in message
    config["config"]["layers"][0]["class_name"] = config["config"]["layers"][1]["class_name"] = "Dense"
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(config)
    assert models.load_model(path, compile=False).output_shape == (None, 2)
    del config["config"]["layers"][1]["config"]["units"]
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps(config)
    message = refused(lambda: models.load_model(path, compile=False))
    assert "model.h5: model_config" in message and "layers[1]" in message and "units" in message


def test_packed_files_are_read(tmp_path):
    model, path = small(), tmp_path / "model.h5"
    model.save(path)
    with h5py.File(path, "a") as file:
        for name in ("first/first", "second/second"):
            group = file["model_weights"][name]
            kernel = group["kernel:0"][()]
            del group["kernel:0"]
            packing = "gzip" if "first" in name else "lzf"
            group.create_dataset("kernel:0", data=kernel, chunks=(2, 2), compression=packing, shuffle=True)
    for got, expected in zip(models.load_model(path).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_shown_is_short_and_never_fails():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    circle: list = []
    circle.append(circle)
    for value in (Odd(), circle, "x" * 10**6, 16**10**5, [[[["x" * 1000] * 100] * 100] * 100] * 100, {1: {2: {3: {}}}}):
        assert len(trust.shown(value)) <= 200


@pytest.mark.filterwarnings("ignore")
def test_some_damaged_files_load_or_are_refused(tmp_path):
    outcomes = [fuzz_files.tried(number, 0, str(tmp_path)) for number in range(110)]
    assert {outcome for _, outcome in outcomes} == {"loaded", "refused"}
