"""Speed of single layers, forward and forward + backward: ratios to the most direct JAX expression, in one run.

    python benchmarks/kernels.py [--cases convolution,lstm] [--contenders jax,jkeras,keras3,torch] [--rounds 7]

Every contender computes the same layer on the same shapes, in training mode: `jkeras` the pure `layer.apply` and
`keras3` the `stateless_call` of Keras 3 on JAX, both under `jax.jit`, `torch` the PyTorch module, eagerly and channels
first. Backward is the gradient of the outputs for the weights and, where they are numbers, the inputs. Contenders take
turns. Printed, as a Markdown table, are the milliseconds of `jax` and the times of the others relative to it, each that
of the fastest call: below 1 is faster than the direct expression. Before anything is timed, the outputs of the JAX
contenders are compared. On a GPU, if JAX has one, everything runs there. What is not installed is left out.
"""

import argparse
import importlib.util
import inspect
import os
import pathlib
import sys
import time

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's waiting threads leave the cores to the others
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

VOCABULARY, FEATURES = 20000, 128
IMAGE, TOKENS, SERIES = (32, 28, 28, 32), (32, 80), (32, 80, FEATURES)


# ----------------------------------------------------------------------- the direct JAX expressions, (params, x, key)


def convolved(x, kernel, strides=1, padding="SAME", groups=1):
    space = "DHW"[5 - x.ndim :]
    options = {"dimension_numbers": (f"N{space}C", f"{space}IO", f"N{space}C"), "feature_group_count": groups}
    return lax.conv_general_dilated(x, kernel, (strides,) * len(space), padding, **options)


def convolution(strides=1, padding="SAME"):
    return lambda params, x, key: convolved(x, params["kernel"], strides, padding) + params["bias"]


def depthwise(params, x, key):
    outputs = convolved(x, params["depthwise_kernel"].reshape(3, 3, 1, -1), groups=x.shape[-1])
    if "pointwise_kernel" in params:
        outputs = convolved(outputs, params["pointwise_kernel"])
    return outputs + params["bias"]


def transposed(params, x, key):
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "transpose_kernel": True}
    return lax.conv_transpose(x, params["kernel"], (2, 2), "SAME", **options) + params["bias"]


def max_pooling(window):
    return lambda params, x, key: lax.reduce_window(x, -jnp.inf, lax.max, (1, window, window, 1), (1, 2, 2, 1), "VALID")


def average_pooling(params, x, key):
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def lstm(params, x, key):
    kernel, recurrent, bias = (params["cell"][name] for name in ("kernel", "recurrent_kernel", "bias"))

    def step(states, x):
        hidden, carry = states
        i, f, g, o = jnp.split(x @ kernel + hidden @ recurrent + bias, 4, axis=-1)
        carry = jax.nn.sigmoid(f) * carry + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(carry)
        return (hidden, carry), hidden

    zeros = jnp.zeros((len(x), recurrent.shape[0]))
    return lax.scan(step, (zeros, zeros), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def gru(params, x, key):
    kernel, recurrent, biases = (params["cell"][name] for name in ("kernel", "recurrent_kernel", "bias"))

    def step(hidden, x):
        z, r, h = jnp.split(x @ kernel + biases[0], 3, axis=-1)
        of_z, of_r, of_h = jnp.split(hidden @ recurrent + biases[1], 3, axis=-1)
        z, r = jax.nn.sigmoid(z + of_z), jax.nn.sigmoid(r + of_r)
        hidden = z * hidden + (1 - z) * jnp.tanh(h + r * of_h)
        return hidden, hidden

    return lax.scan(step, jnp.zeros((len(x), recurrent.shape[0])), x.swapaxes(0, 1))[1].swapaxes(0, 1)


def batch_normalization(params, x, key):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    variance = jnp.square(x - mean).mean(axes)
    return (x - mean) * lax.rsqrt(variance + 1e-3) * params["gamma"] + params["beta"]


def dropout(params, x, key):
    return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x / 0.5, 0.0)


# -------------------------------------------------------------------------------------------------------- the cases

# name: (input shape, direct JAX expression, layer in Keras as both libraries take it, module in PyTorch)
# fmt: off
CASES = {
    "convolution 3x3, same": (IMAGE, convolution(), lambda k: k.Conv2D(32, 3, padding="same"),
     lambda nn: nn.Conv2d(32, 32, 3, padding=1)),
    "convolution 3x3, valid": (IMAGE, convolution(1, "VALID"), lambda k: k.Conv2D(32, 3),
     lambda nn: nn.Conv2d(32, 32, 3)),
    "convolution 1x1": (IMAGE, convolution(), lambda k: k.Conv2D(64, 1), lambda nn: nn.Conv2d(32, 64, 1)),
    "convolution 3x3, strides 2": (IMAGE, convolution(2), lambda k: k.Conv2D(64, 3, strides=2, padding="same"),
     lambda nn: nn.Conv2d(32, 64, 3, stride=2, padding=1)),
    "convolution 5, 1D": ((32, 400, 32), convolution(), lambda k: k.Conv1D(64, 5, padding="same"),
     lambda nn: nn.Conv1d(32, 64, 5, padding=2)),
    "convolution 3x3x3, 3D": ((4, 16, 16, 16, 32), convolution(), lambda k: k.Conv3D(32, 3, padding="same"),
     lambda nn: nn.Conv3d(32, 32, 3, padding=1)),
    "depthwise 3x3": (IMAGE, depthwise, lambda k: k.DepthwiseConv2D(3, padding="same"),
     lambda nn: nn.Conv2d(32, 32, 3, padding=1, groups=32)),
    "separable 3x3": (IMAGE, depthwise, lambda k: k.SeparableConv2D(64, 3, padding="same"),
     lambda nn: nn.Sequential(nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.Conv2d(32, 64, 1))),
    "transposed 3x3, strides 2": ((32, 14, 14, 32), transposed,
     lambda k: k.Conv2DTranspose(32, 3, strides=2, padding="same"),
     lambda nn: nn.ConvTranspose2d(32, 32, 3, stride=2, padding=1, output_padding=1)),
    "max pooling 2x2": (IMAGE, max_pooling(2), lambda k: k.MaxPooling2D(2), lambda nn: nn.MaxPool2d(2)),
    "max pooling 3x3, strides 2": (IMAGE, max_pooling(3), lambda k: k.MaxPooling2D(3, strides=2),
     lambda nn: nn.MaxPool2d(3, 2)),
    "average pooling 2x2": (IMAGE, average_pooling, lambda k: k.AveragePooling2D(2), lambda nn: nn.AvgPool2d(2)),
    "LSTM 128, 80 steps": (SERIES, lstm,
     lambda k: k.LSTM(FEATURES, recurrent_activation="sigmoid", return_sequences=True),
     lambda nn: nn.LSTM(FEATURES, FEATURES, batch_first=True)),
    "GRU 128, 80 steps": (SERIES, gru,
     lambda k: k.GRU(FEATURES, recurrent_activation="sigmoid", return_sequences=True, reset_after=True),
     lambda nn: nn.GRU(FEATURES, FEATURES, batch_first=True)),
    "batch normalization, images": (IMAGE, batch_normalization, lambda k: k.BatchNormalization(),
     lambda nn: nn.BatchNorm2d(32)),
    "batch normalization, vectors": ((1024, 256), batch_normalization, lambda k: k.BatchNormalization(),
     lambda nn: nn.BatchNorm1d(256)),
    "embedding 20000x128": (TOKENS, lambda params, x, key: jnp.take(params["embeddings"], x, axis=0),
     lambda k: k.Embedding(VOCABULARY, FEATURES), lambda nn: nn.Embedding(VOCABULARY, FEATURES)),
    "dropout": (IMAGE, dropout, lambda k: k.Dropout(0.5), lambda nn: nn.Dropout(0.5)),
}
# fmt: on


def inputs_of(shape):
    rng = np.random.RandomState(0)
    return rng.randint(0, VOCABULARY, shape) if shape == TOKENS else rng.normal(size=shape).astype("float32")


# ---------------------------------------------------------------------- contenders: what to call for each direction


def in_jax(forward, params, rest, x):
    """From forward(params, rest, x) -> outputs, rest."""
    params, rest, x = jax.tree.map(jnp.asarray, (params, rest, x))
    gradient = jax.random.normal(jax.random.key(2), jax.eval_shape(forward, params, rest, x)[0].shape)

    @jax.jit
    def both(params, rest, x, gradient):
        sources = (params, x) if jnp.issubdtype(x.dtype, jnp.floating) else (params,)
        outputs, back, rest = jax.vjp(lambda params, x=x: forward(params, rest, x), *sources, has_aux=True)
        return outputs, rest, back(gradient)

    compiled = jax.jit(forward)
    return {
        "forward": lambda: jax.block_until_ready(compiled(params, rest, x)),
        "forward + backward": lambda: jax.block_until_ready(both(params, rest, x, gradient)),
    }


def of_direct(shape, direct, layer, module):
    from jkeras import layers

    params, _ = layer(layers).init(jax.random.key(0), (None, *shape[1:]))
    return in_jax(lambda params, key, x: (direct(params, x, key), key), params, jax.random.key(1), inputs_of(shape))


def of_jkeras(shape, direct, layer, module):
    from jkeras import layers

    layer = layer(layers)
    params, state = layer.init(jax.random.key(0), (None, *shape[1:]))

    def forward(params, rest, x):
        outputs, state = layer.apply(params, rest[0], x, key=rest[1], training=True)
        return outputs, (state, rest[1])

    return in_jax(forward, params, (state, jax.random.key(1)), inputs_of(shape))


def of_keras3(shape, direct, layer, module):
    from keras import layers

    from jkeras import layers as ours

    params, _ = layer(ours).init(jax.random.key(0), (None, *shape[1:]))
    weights = list(params.get("cell", params).values())  # both libraries have them in one order
    layer = layer(layers)
    layer.build(shape)
    options = {"training": True} if "training" in inspect.signature(layer.call).parameters else {}
    rest = [variable.value for variable in layer.non_trainable_variables]
    return in_jax(lambda *arguments: layer.stateless_call(*arguments, **options), weights, rest, inputs_of(shape))


def of_torch(shape, direct, layer, module):
    import torch

    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    torch.set_float32_matmul_precision("high")  # on a GPU as JAX does it; no difference on a CPU
    x = inputs_of(shape)
    x = x if x.ndim == 2 or shape == SERIES else np.moveaxis(x, -1, 1).copy()
    x, module = torch.from_numpy(x).to(device), module(torch.nn).to(device)
    sources = [*module.parameters(), *([x.requires_grad_()] if x.is_floating_point() else [])]

    def outputs():
        result = module(x)
        return result[0] if isinstance(result, tuple) else result

    gradient = torch.randn(outputs().shape, device=device)

    def forward():
        with torch.no_grad():
            outputs()
        finish()

    def both():
        torch.autograd.grad(outputs(), sources, gradient)
        finish()

    return {"forward": forward, "forward + backward": both}


CONTENDERS = {"jax": of_direct, "jkeras": of_jkeras, "keras3": of_keras3, "torch": of_torch}


# -------------------------------------------------------------------------------------------------------- measuring


def check(name, calls):
    """Exit where the outputs of the JAX contenders differ (of dropout, their shapes)."""
    limit = np.inf if name == "dropout" else 1e-4 if jax.default_backend() == "cpu" else 2e-2  # a GPU rounds more
    expected, _ = calls["jax"]["forward"]()
    for who in calls.keys() - {"torch"}:
        outputs, _ = calls[who]["forward"]()
        if outputs.shape != expected.shape or not jnp.abs(outputs - expected).max() < limit:
            sys.exit(f"{name}: the outputs of {who} are not those of the direct expression.")


def seconds(call, turn):
    """The fastest of the calls that fit into `turn` seconds, at least three; a first one does not count."""
    call()
    times, end = [], time.perf_counter() + turn
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def rows_of(name, contenders, rounds, turn):
    """A row for each direction: name, direction, milliseconds of the direct expression, ratios of the others."""
    calls = {who: CONTENDERS[who](*CASES[name]) for who in contenders}
    check(name, calls)
    for direction in ("forward", "forward + backward"):
        runs = [{who: seconds(call[direction], turn) for who, call in calls.items()} for _ in range(rounds)]
        fastest = {who: min(run[who] for run in runs) for who in contenders}
        ratios = (fastest[who] / fastest["jax"] for who in contenders[1:])
        yield [name, direction, f"{1e3 * fastest['jax']:.3f}", *(f"{ratio:.2f}" for ratio in ratios)]


def line(name, direction, *numbers):
    print(f"| {name:28s} | {direction:18s} | {' | '.join(f'{number:>7s}' for number in numbers)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="", help="words, one of which the name of a case has; all cases if empty")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.03, help="seconds that a contender runs in a round, about")
    arguments = parser.parse_args()
    here = {who: who == "jkeras" or importlib.util.find_spec(who.rstrip("3")) for who in CONTENDERS}
    contenders = ["jax", *(who for who in arguments.contenders.split(",") if who != "jax" and here[who])]
    line("layer", "direction", "jax ms", *contenders[1:])
    line("---", "---", *["---:"] * len(contenders))
    for name in CASES:
        if any(word.strip().lower() in name.lower() for word in arguments.cases.split(",")):
            for cells in rows_of(name, contenders, arguments.rounds, arguments.turn):
                line(*cells)


if __name__ == "__main__":
    main()
