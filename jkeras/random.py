"""Keys: how the key of every draw is derived.

A draw's key comes from the run's key, the step, the path of the layer and which of its calls, and the example's place
in the global batch, and from nothing else: not from the order of tracing, not from the number of devices, not from how
many steps one dispatch runs. So one key gives one run.

Two kinds of draw:

* inside compiled code (`uniform`, `normal`, `bernoulli`): `jax.random`, one key per example of the batch;
* on the host (`host`): initial weights and the order of an epoch come from a numpy `RandomState` seeded from the key,
  whose streams numpy has frozen: the same numbers on every machine and version, and nothing to compile.
"""

import dataclasses
import functools
import hashlib
import pickle
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jkeras import batch
from jkeras.threefry import of_example

__all__ = [
    "Key", "Run", "as_key", "as_run", "bernoulli", "host", "host_key", "is_seeded", "next_key", "next_run_key",
    "normal", "seed", "shuffled_batches", "truncated_normal", "uniform",
]  # fmt: skip


@functools.partial(jax.tree_util.register_dataclass, data_fields=["base", "first"], meta_fields=["path"])
@dataclasses.dataclass(frozen=True)
class Key:
    """A JAX key, where in the model it is used, and the place in the global batch of the first example it serves.

    Attributes:
        base: a JAX key, as from `jax.random.key(0)`.
        first: the place of the first example in the global batch (0 unless the batch is split over devices).
        path: the position of the layer in its model, from the outside in, and which of its calls.
    """

    base: jax.Array
    first: jax.Array | int = 0
    path: tuple = ()

    def fold(self, *names: Any) -> "Key":
        """The key for what is called `names` inside of what this key is for. Costs nothing until something is drawn."""
        # 3 and numpy.int64(3) are the same name.
        plain = tuple(name.item() if isinstance(name, np.generic) else name for name in names)
        return dataclasses.replace(self, path=self.path + plain)

    def at(self, first: Any) -> "Key":
        """The same key for a part of the batch whose first example has the place `first`."""
        return dataclasses.replace(self, first=first)

    def step(self, number: Any) -> "Key":
        """The key of one step of the run; `number` may be traced."""
        return dataclasses.replace(self, base=jax.random.fold_in(self.base, number))

    def draw_key(self) -> jax.Array:
        """The plain JAX key of a draw at this path."""
        if not self.path:
            return self.base
        return jax.random.fold_in(self.base, zlib.crc32(repr(self.path).encode()))

    def copy(self) -> "Key":
        """The same key in memory of its own, for a program that takes over the memory of its arguments."""
        words = np.array(jax.random.key_data(self.base))
        return dataclasses.replace(self, base=_key_of(words, jax.random.key_impl(self.base)))


def as_key(key: Any) -> Key:
    """A `Key` from what users hand over: a `Key`, a JAX key (`jax.random.key(0)`, `jax.random.PRNGKey(0)`) or an
    integer.

    Raises:
        TypeError: if it is none of these.
        ValueError: if it is an integer that JAX makes no key of.
    """
    if isinstance(key, Key):
        return key
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        if not -(2**63) <= key < 2**63:
            raise ValueError(f"A key from an integer takes one of 64 bits; one of {int(key).bit_length()} was given.")
        return Key(_from_seed(int(key)))
    if isinstance(key, (jax.Array, np.ndarray)):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0:
            return Key(jnp.asarray(key))
        if key.dtype == np.uint32 and key.ndim == 1:
            return Key(jax.random.wrap_key_data(jnp.asarray(key)))
    raise TypeError(
        f"A key was expected (jax.random.key(0), an integer, or a jkeras.random.Key) and {type(key).__name__} "
        f"{getattr(key, 'dtype', '')}{list(getattr(key, 'shape', ()))} was given."
    )


def _from_seed(seed: int):
    """`jax.random.key(seed)`; for JAX's own generator without compiling a program for it."""
    if jax.config.jax_default_prng_impl != "threefry2x32" or not 0 <= seed < 2**32:
        return jax.random.key(seed)
    return _key_of(np.array([0, seed], np.uint32))


def _key_of(words: Any, impl: Any = None) -> jax.Array:
    """The JAX key of these words, which may be numpy's."""
    return jax.random.wrap_key_data(words, impl=impl)


# ------------------------------------------------------------------------------------------- draws in compiled code


def _draw(key, sample, shape, per_example):
    key = as_key(key)
    draw_key, shape = key.draw_key(), tuple(shape)
    if not per_example or not shape:
        return sample(draw_key, shape)
    # In a mapped step these are the examples of one part of the batch, which is known by their number.
    first = key.first + batch.first_place(shape[0])
    if "threefry" not in str(jax.random.key_impl(draw_key)):
        # Keys whose draws depend on how many keys there are side by side: drawn at once for the whole batch.
        whole = sample(draw_key, (shape[0] * batch.shards(), *shape[1:]))
        return whole if batch.shards() == 1 else lax.dynamic_slice_in_dim(whole, first, shape[0])
    places = first + jnp.arange(shape[0], dtype=jnp.uint32)
    return jax.vmap(lambda place: sample(of_example(draw_key, place), shape[1:]))(places)


def uniform(
    key: Any, shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = jnp.float32, *, per_example: bool = True
):
    """Uniform draws in [minval, maxval) of the given shape. With `per_example` axis 0 is the batch and each example has
    its own key, so that the numbers do not depend on how the batch is split over devices."""
    return _draw(key, lambda k, s: jax.random.uniform(k, s, dtype, minval, maxval), shape, per_example)


def normal(
    key: Any, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = jnp.float32, *, per_example: bool = True
):
    """Normal draws of the given shape; see `uniform` for `per_example`."""
    return mean + stddev * _draw(key, lambda k, s: jax.random.normal(k, s, dtype), shape, per_example)


def truncated_normal(
    key: Any, shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = jnp.float32, *, per_example: bool = True
):
    """Normal draws redrawn until within two standard deviations; see `uniform` for `per_example`."""
    return mean + stddev * _draw(
        key, lambda k, s: jax.random.truncated_normal(k, -2.0, 2.0, s, dtype), shape, per_example
    )


def bernoulli(key: Any, probability: Any, shape: Any, *, per_example: bool = True):
    """True with the given probability; see `uniform` for `per_example`."""
    # In 32 bits, also where 64 are computed with: quicker, and enough to tell from a probability.
    probability = jnp.asarray(probability, jnp.float32)
    return _draw(key, lambda k, s: jax.random.bernoulli(k, probability, s), shape, per_example)


# ----------------------------------------------------------------------------------------------- draws on the host


def host(key: Any, *names: Any) -> np.random.RandomState:
    """A numpy generator seeded from `key` and `names`: for initial weights and the order of an epoch.

    The key must be concrete (not traced).
    """
    return np.random.RandomState(_digest(as_key(key).fold(*names)))


def host_key(key: Any):
    """The plain JAX key for what `key` is for, derived on the host; the key must be concrete."""
    key = as_key(key)
    return _key_of(_digest(key)[:2], "threefry2x32") if key.path else key.base


def _digest(key: Key) -> np.ndarray:
    """Eight 32-bit words that the key and its path determine."""
    words = np.asarray(jax.random.key_data(key.base), dtype=np.uint32)
    return np.frombuffer(hashlib.sha256(words.tobytes() + repr(key.path).encode()).digest(), dtype=np.uint32)


# --------------------------------------------------------------------------------- the keys nobody handed over


class _Stream:
    """The process's own keys: a base, of which state of numpy's generator it is, and how many were taken. `seed` starts
    it anew."""

    base: Any = None
    of: bytes = b""
    seeded: bool = False
    taken: int = 0


def seed(n: int | None) -> None:
    """Make everything that draws without an explicit key (initial weights, `fit` without `key=`) repeatable, whatever
    numpy's generator does; None lets it follow that again.

    Example:
        >>> import jkeras
        >>> jkeras.random.seed(0)
    """
    _Stream.base, _Stream.seeded, _Stream.taken = None if n is None else as_key(int(n)), n is not None, 0
    _Stream.of = b""


def is_seeded() -> bool:
    """Whether `seed` was called: if not, the process's keys come from numpy's global generator, as in Keras, which
    `numpy.random.seed` makes repeatable."""
    return _Stream.seeded


def next_run_key() -> Key:
    """The next of the process's own keys, for a run: all have the same structure, so that nothing is retraced. numpy's
    generator stays where it is: the order of examples comes from there."""
    if not _Stream.seeded:
        state = pickle.dumps(np.random.get_state(legacy=False))
        if state != _Stream.of:
            number = int.from_bytes(hashlib.sha256(state).digest()[:4], "big") >> 1
            _Stream.base, _Stream.of, _Stream.taken = as_key(number), state, 0
    _Stream.taken += 1
    return Key(host_key(_Stream.base.fold("process", _Stream.taken)))


def next_key() -> Key:
    """The next of the process's own keys, for draws on the host. numpy's generator moves on, as in Keras."""
    number = next_number()
    return _Stream.base.fold("process", number) if _Stream.seeded else as_key(number).fold("process")


def next_number() -> int:
    """A number that tells draws apart. numpy's generator moves on, as where Keras makes a symbol that draws."""
    if not _Stream.seeded:
        _Stream.of = b""  # who finds the generator where it is now has seeded it again
        return int(np.random.randint(1 << 31, dtype=np.int64))
    _Stream.taken += 1
    return _Stream.taken


# --------------------------------------------------------------------------------------------------- one run of `fit`


@dataclasses.dataclass(frozen=True)
class Run:
    """What determines a run: pass it as `key=` to repeat one.

    Attributes:
        key: the key of every draw.
        numpy_state: where the order of the examples came from numpy's global generator (no key was given, as in Keras),
            the state of it at the start; else None.
    """

    key: Key
    numpy_state: tuple | dict | None = None

    def order(self, shuffle: bool | str, batch_size: int):
        """`order(epoch, examples)` -> the rows in the order of that epoch; None where they are not shuffled.

        Arguments:
            shuffle: True, False, or 'batch' to shuffle whole batches.

        Raises:
            ValueError: if it is anything else.
        """
        if np.ndim(shuffle) or shuffle not in (True, False, None, "batch"):
            raise ValueError(f"shuffle must be True, False or 'batch'; got {shuffle!r}.")
        if not shuffle:
            return None
        generator = None if self.numpy_state is None else _repeated(self.numpy_state)
        last = None  # with numpy's generator each epoch shuffles the order of the one before, as in Keras

        def order(epoch, examples):
            nonlocal last
            source = generator or host(self.key, "order", epoch)
            if generator is np.random:
                _Stream.of = b""
            rows = np.arange(examples) if generator is None or last is None else last
            if shuffle == "batch":
                rows = shuffled_batches(source, rows, batch_size)
            else:
                source.shuffle(rows)
            last = rows
            return rows.copy()

        return order


def shuffled_batches(generator: Any, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """`rows`, (n,), with its whole batches in another order, by numpy's `generator`; what is left stays last."""
    whole = len(rows) // batch_size * batch_size
    batches = np.array(rows[:whole]).reshape(-1, min(batch_size, max(whole, 1)))
    generator.shuffle(batches)
    return np.append(batches.ravel(), rows[whole:])


def _repeated(numpy_state):
    """numpy's global generator if it is at `numpy_state` (so that it moves on, as in Keras), else a copy of it
    there."""
    if all(np.array_equal(now, then) for now, then in zip(np.random.get_state(), numpy_state, strict=True)):
        return np.random
    generator = np.random.RandomState()
    generator.set_state(numpy_state)
    return generator


def as_run(key: Any) -> Run:
    """The `Run` for a key that was given to `fit`; for None, one from the process's keys."""
    if isinstance(key, Run):
        return key
    if key is not None:
        return Run(Key(as_key(key).draw_key()))
    return Run(next_run_key(), None if is_seeded() else np.random.get_state())
