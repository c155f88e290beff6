"""JAX's own generator, threefry2x32 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011), with its
rounds written out for a CPU. The bits are the same; elsewhere JAX's own form is taken.

JAX writes the rounds as loops there: 24 small programs for each draw, which pass over the numbers again and again.
Processor time (jax 0.10.2, busy machine), JAX's form / this one: a model with 4 masks up to (32, 68, 64) and an LSTM,
to compile 5.9 / 4.6 s, each step 1.8 / 1.0 ms; 6 masks of (32, 256) between Dense layers 1.9 / 1.7 s, 3.3 / 2.6 ms;
40 masks of (32, 2) 4.1 / 4.5 s, 0.20 / 0.07 ms.
"""

import functools
import math
from typing import Any

import jax
import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import random as extend

__all__ = ["of_example"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


@jax.jit
def _hashed(key, first, second):
    """The two words that `key` makes of the words `first` and `second`."""
    words = key[0], key[1], key[0] ^ key[1] ^ np.uint32(0x1BD11BDA)
    first, second = first + words[0], second + words[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            first = first + second
            second = first ^ (second << np.uint32(distance) | second >> np.uint32(32 - distance))
        first = first + words[(group + 1) % 3]
        second = second + words[(group + 2) % 3] + np.uint32(group + 1)
    return first, second


@functools.partial(jax.jit, static_argnums=(1, 2))
def _bits(key, bit_width, shape):
    """What `jax.random.bits` makes of the key of an example."""
    fits = all(isinstance(size, int) for size in shape) and math.prod(shape) < 1 << 32

    def own(key):
        folded = jax.random.fold_in(jax.random.wrap_key_data(key[:2], impl="threefry2x32"), key[2])
        return jax.random.bits(folded, shape, jnp.dtype(f"uint{bit_width}"))

    def words(key):
        places = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
        folded = _hashed(key, np.uint32(0), key[2])
        first, second = _hashed(folded, jnp.zeros_like(places), places)
        return first ^ second

    if bit_width != 32 or not fits or not jax.config.jax_threefry_partitionable:
        return own(key)
    return lax.platform_dependent(key, cpu=_stored(words), default=own)


def _stored(draw):
    """`draw(key)`, whose result is stored: XLA would compute it anew in each operation that takes it, and several of
    them together in one that takes long to compile. It does not look into a condition, and this one always holds."""

    def stored(draw, keys, one):
        holds = lax.shift_right_logical(one | np.uint32(1 << 31), np.uint32(31)) == 1
        nothing = jax.eval_shape(draw, keys)
        return lax.cond(holds, draw, lambda _: jnp.zeros(nothing.shape, nothing.dtype), keys)

    single = jax.custom_batching.custom_vmap(lambda key: stored(draw, key, key[0]))
    # One condition for a whole batch of keys.
    single.def_vmap(lambda size, batched, keys: (stored(jax.vmap(draw), keys, keys[0, 0]), True))
    return single


def _not_here(*args):
    raise TypeError("The key of an example is for one draw.")


# The words of the draw's key, and the example's place, which is folded in where it is drawn.
_OF_EXAMPLE: Any = extend.define_prng_impl(
    key_shape=(3,), seed=_not_here, split=_not_here, fold_in=_not_here, random_bits=_bits, name="threefry_of_example"
)


def of_example(key: jax.Array, place: Any) -> jax.Array:
    """The key that draws for the example at `place` as `jax.random.fold_in(key, place)` would: for one draw of
    `jax.random`, of JAX's own generator."""
    words = jax.random.key_data(key)
    return jax.random.wrap_key_data(jnp.stack([words[0], words[1], jnp.asarray(place, jnp.uint32)]), impl=_OF_EXAMPLE)
