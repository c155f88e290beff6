"""The hand-written contenders: plain JAX and optax, one jitted donated step per batch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax


def _glorot(rng, *shape):
    receptive = int(np.prod(shape[:-2])) if len(shape) > 2 else 1
    limit = np.sqrt(6 / ((shape[-2] + shape[-1]) * receptive))
    return rng.uniform(-limit, limit, shape).astype("float32")


def _dense(rng, *sizes):
    return [(_glorot(rng, m, n), np.zeros(n, "float32")) for m, n in zip(sizes, sizes[1:], strict=False)]


def _dropout(key, x, rate):
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0.0)


def _mlp(params, x, key, rate):
    for number, (kernel, bias) in enumerate(params):
        x = x @ kernel + bias
        if number < len(params) - 1:
            x = jax.nn.relu(x)
            if rate:
                x = _dropout(jax.random.fold_in(key, number), x, rate)
    return x


def _cnn(params, x, key):
    for kernel, bias in params["conv"]:
        x = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + bias)
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = _dropout(jax.random.fold_in(key, 9), x, 0.25).reshape(len(x), -1)
    return _mlp(params["dense"], x, key, 0.5)


def _lstm(params, tokens, key):
    x = params["embedding"][tokens].swapaxes(0, 1)  # (time, batch, features)
    units = params["recurrent"].shape[0]
    zero = jnp.zeros((x.shape[1], units))

    def step(carry, x):
        h, c = carry
        i, f, g, o = jnp.split(x @ params["kernel"] + h @ params["recurrent"] + params["bias"], 4, axis=1)
        gate = lambda z: jnp.clip(0.2 * z + 0.5, 0, 1)  # noqa: E731  (Keras's hard sigmoid)
        c = gate(f) * c + gate(i) * jnp.tanh(g)
        h = gate(o) * jnp.tanh(c)
        return (h, c), None

    (h, _), _ = lax.scan(step, (zero, zero), x)
    return h @ params["dense"][0][0] + params["dense"][0][1]


def make(case):
    """(state, step) of a case; `step(state, x, y, key) -> state, (loss, accuracy)`."""
    rng = np.random.RandomState(0)
    binary = case == "lstm"
    if case == "digits_mlp":
        params, apply = _dense(rng, 64, 32, 10), lambda p, x, k: _mlp(p, x, k, 0)
    elif case == "mnist_mlp":
        params, apply = _dense(rng, 784, 512, 512, 10), lambda p, x, k: _mlp(p, x, k, 0.2)
    elif case == "mnist_cnn":
        conv = [
            (_glorot(rng, 3, 3, 1, 32), np.zeros(32, "float32")),
            (_glorot(rng, 3, 3, 32, 64), np.zeros(64, "float32")),
        ]
        params, apply = {"conv": conv, "dense": _dense(rng, 9216, 128, 10)}, _cnn
    else:
        params = {
            "embedding": rng.uniform(-0.05, 0.05, (20000, 128)).astype("float32"),
            "kernel": _glorot(rng, 128, 512),
            "recurrent": _glorot(rng, 128, 512),
            "bias": np.zeros(512, "float32"),
            "dense": _dense(rng, 128, 1),
        }
        apply = _lstm
    optimizer = optax.adam(1e-3)

    def loss(params, x, y, key):
        logits = apply(params, x, key)
        if binary:
            return optax.sigmoid_binary_cross_entropy(logits, y).mean(), ((logits > 0) == (y > 0.5)).mean()
        hits = logits.argmax(1) == y.argmax(1)
        return optax.softmax_cross_entropy(logits, y).mean(), hits.mean()

    def step(state, x, y, key):
        params, opt_state = state
        (value, accuracy), gradients = jax.value_and_grad(loss, has_aux=True)(params, x, y, key)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), (value, accuracy)

    params = jax.tree.map(jnp.asarray, params)
    return (params, optimizer.init(params)), jax.jit(step, donate_argnums=0)
