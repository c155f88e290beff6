"""Changes bytes of files of every kind at random and loads them: that works, or raises jkeras's own error, soon.

    python tests/fuzz_files.py [--times 20000] [--seed 0]

The files: models and weights in HDF5 (chunked and packed ones among them), JSON, YAML, checkpoints, the text of a
tokenizer. Reading runs in a process of its own, with its memory limited, which is replaced when it dies or hangs; what
it did then is told and counted.
"""

import argparse
import collections
import contextlib
import copy
import faulthandler
import functools
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("JAX_PLATFORMS", "cpu")

SECONDS, MEMORY = 5, 6 << 30
#: What stands in configs, and what is worth putting in its place.
WORDS = (b"null", b"-1", b"0", b"1e400", b"NaN", b"[]", b"{}", b'""', b"true", b"99999999999", b"*a", b"&a ", b"<<: ")
VALUES = (None, True, -1, 0, 1, 3, 2.5, 10**9, 10**12, 10**400, float("nan"), float("inf"), "", "x", "relu", "Dense",
          "Lambda", "l2", [], [0], [None, 3], [[]], {}, {"class_name": "Dense", "config": {}}, "a" * 10**5)  # fmt: skip


def small_model():
    """A model whose loading compiles nothing, with several kinds of weights and configs."""
    from jkeras import layers, models

    x = layers.Input((4,), name="x")
    inner = models.Sequential([layers.Dense(3, input_shape=(4,), kernel_regularizer="l2")], name="inner")
    merged = layers.concatenate([inner(x), layers.Dropout(0.5)(layers.Dense(2, activation="tanh")(x))])
    model = models.Model(x, layers.Dense(2, name="last")(merged))
    model.compile("sgd", {"last": "mse"}, metrics=["mae"])
    return model


def packed(content: bytes) -> bytes:
    """The HDF5 file in `content`, with its arrays in pieces and packed."""
    import h5py

    source, target = h5py.File(io.BytesIO(content)), io.BytesIO()
    with h5py.File(target, "w") as file:

        def copy(name, item):
            if isinstance(item, h5py.Dataset) and item.ndim:
                file.create_dataset(name, data=item[()], chunks=True, compression="gzip", shuffle=True)
            elif isinstance(item, h5py.Dataset):
                file[name] = item[()]
            for key, value in item.attrs.items():
                (file[name] if name in file else file.require_group(name)).attrs[key] = value

        copy("/", source)
        source.visititems(copy)
    return target.getvalue()


@functools.cache
def targets() -> dict:
    """kind -> (the file as bytes, what loads it from a path)."""
    from jkeras import models
    from jkeras.callbacks import BackupAndRestore
    from jkeras.preprocessing.text import Tokenizer, tokenizer_from_json
    from jkeras.serialize import checkpoint
    from jkeras.serialize.bounded import reading

    model, tokenizer = small_model(), Tokenizer()
    tokenizer.fit_on_texts(["one two three", "two"])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        model.save(path)
        whole = contents(path)
        model.save_weights(path)
        weights = contents(path)
        names = ("epoch", "batch", "stopped", "names", "numpy_state", "key", "callbacks")
        checkpoint.write(path, {"leaves": model.get_weights(), **dict.fromkeys(names)})
        backup = contents(path)

    def with_attribute(name):
        """The file of the model with another text as this attribute."""
        import h5py

        def load(path):
            content = io.BytesIO(whole)
            with h5py.File(content, "a") as file:
                file.attrs[name] = contents(path)
            return models.load_model(content)

        return load

    with reading(whole) as group:
        config, training = (group.text(name).encode() for name in ("model_config", "training_config"))

    def by_text(read):
        return lambda path: read(contents(path).decode("utf-8", "replace"))

    def by_name(path):
        model.load_weights(path, by_name=True, skip_mismatch=True)

    def from_backup(path):
        callback = BackupAndRestore(os.path.dirname(path))
        os.replace(path, callback.path)
        callback.load()

    return {
        "model": (whole, models.load_model),
        "packed model": (packed(whole), models.load_model),
        "model in bytes": (whole, lambda path: models.load_model(contents(path))),
        "weights": (weights, model.load_weights),
        "weights by name": (weights, by_name),
        "JSON": (model.to_json().encode(), by_text(models.model_from_json)),
        "YAML": (model.to_yaml().encode(), by_text(models.model_from_yaml)),
        "checkpoint": (backup, from_backup),
        "config values": (config, with_attribute("model_config")),
        "training values": (training, with_attribute("training_config")),
        "tokenizer": (tokenizer.to_json().encode(), by_text(tokenizer_from_json)),
    }


def contents(path) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def mutated(content: bytes, draw: random.Random) -> bytes:
    """`content`, changed at one to eight places."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        place, kind = draw.randrange(len(changed)), draw.randrange(8)
        if kind == 0:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            changed[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:  # a number of 4 or 8 bytes
            width = draw.choice((2, 4, 8))
            number = draw.choice((0, 1, 2**31, 2**40, draw.randrange(2 * len(content)), 2**64 - 1))
            changed[place : place + width] = (number % 256**width).to_bytes(width, "little")
        elif kind == 3:
            length = draw.randrange(1, 64)
            changed[place : place + length] = changed[draw.randrange(len(changed)) :][:length]
        elif kind == 4:
            changed[place : place + draw.randrange(1, 16)] = draw.choice(WORDS)
        elif kind == 5:
            del changed[place : place + draw.choice((1, 4, 100, len(changed) // 2))]
        elif kind == 6:
            changed[place:place] = draw.choice(WORDS)
        else:
            del changed[max(1, place) :]
        changed = changed or bytearray(b"0")
    return bytes(changed)


def with_other_values(content: bytes, draw: random.Random) -> bytes:
    """A JSON text with one to three of its values replaced, taken away or put elsewhere."""
    tree = json.loads(content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places, waiting = [], [tree]
        while waiting:
            part = waiting.pop()
            keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
            places += [(part, key) for key in keys]
            waiting += [part[key] for key in keys]
        if not places:
            break
        (part, key), (other, there) = draw.choice(places), draw.choice(places)
        kind = draw.randrange(6)
        if kind == 0:
            del part[key]
        elif kind == 1:
            part[key] = copy.deepcopy(other[there])
        elif kind == 2 and isinstance(part, list):
            part.append(copy.deepcopy(part[key]))
        else:
            part[key] = copy.deepcopy(draw.choice(VALUES))
    return json.dumps(tree).encode()


def tried(number: int, seed: int, folder: str) -> tuple[str, str]:
    """(what was loaded, how that ended) of the mutation of this number: 'loaded', 'refused', or the raw error."""
    from jkeras.serialize.trust import LoadError

    draw = random.Random(f"{seed} {number}")
    kind = list(targets())[number % len(targets())]
    content, load = targets()[kind]
    path = os.path.join(folder, "file")
    with open(path, "wb") as file:
        file.write((with_other_values if "values" in kind else mutated)(content, draw))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(path)
    except LoadError as error:
        return kind, "refused" if len(str(error)) < 2000 and "\n" not in str(error) else "a long message"
    except Exception as error:
        if type(error) is ValueError and str(error).startswith(path) and kind.startswith("weights"):
            return kind, "refused"  # weights of another model
        return kind, f"{type(error).__name__}: {str(error)[:200]}"
    return kind, "loaded"


def work(options):
    """The process that reads: says what it begins and how that ended."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    targets()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.first, options.times):
            print(json.dumps([number]), flush=True)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            outcome = tried(number, options.seed, folder)
            faulthandler.cancel_dump_traceback_later()
            print(json.dumps([number, *outcome]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return 0
    counts, wrong, number = collections.Counter(), 0, options.first - 1
    while number < options.times - 1:
        command = [sys.executable, os.path.abspath(__file__), "--work", "--times", str(options.times)]
        command += ["--first", str(number + 1), "--seed", str(options.seed)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        begun, outcome = number, []
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                begun, *outcome = json.loads(line)
                if outcome:
                    number = begun
                    counts[outcome[0], outcome[1] if outcome[1] in ("loaded", "refused") else "raw"] += 1
                    if outcome[1] not in ("loaded", "refused"):
                        wrong += 1
                        print(f"{begun}: {outcome[0]}: {outcome[1]}", flush=True)
        told = process.stderr.read()
        process.wait()
        if number < options.times - 1:  # it died, or hung
            number, wrong = max(begun, number + 1), wrong + 1
            print(f"{number}: the process ended by {process.returncode}: {told[:1500]}", flush=True)
            counts["", "hangs and crashes"] += 1
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{kind:18} {outcome:18} {count}")
    print(f"{options.times - options.first} mutations, {wrong} of them neither loaded nor refused")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
