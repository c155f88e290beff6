"""What holds for every layer in every group of its options.

The numbers, names, shapes and masks are those of the real Keras 2.2.4. The pair is pure, compiled is eager, gradients
are those of differences, a config makes the same layer again, types are those asked for, masked steps do not count, and
training gives the same weights on one device and on two, traced once.
"""

import contextlib
import functools
import importlib
import json
import os
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE, fingerprint, names, weight
from kit import close, same_bits

from jkeras import backend, config, layers, models, optimizers, random
from jkeras.graph.tensor import reset_names

pytestmark = pytest.mark.filterwarnings(
    "ignore:The `(Highway|MaxoutDense|Atrous.*)` layer", "ignore:Update your `.*` call", "ignore:.*implementation"
)
KERAS = names(layers, models, backend)
SAYS = json.loads((pathlib.Path(__file__).parent / "data" / "keras_layers.json").read_text())
#: What is no layer to be called: where data enters, bases of layers, cells (which run inside of `RNN`s).
BASES = {"Layer", "InputLayer", "Wrapper", "Recurrent", "ConvRecurrent2D"}
KEY = random.as_key(jax.random.key(1))


def table(choose=lambda entry: True):
    return pytest.mark.parametrize("entry", [pytest.param(e, id=e.id) for e in CATALOGUE if choose(e)])


def unpacked(entry, values):
    """What the layer is called on: the list of inputs, or the only one."""
    return list(values) if entry.several else values[0]


@contextlib.contextmanager
def float_type(dtype):
    """Inside, layers are of this type, and 64 bits are 64 bits."""
    before = config.floatx()
    config.set_floatx(dtype)
    try:
        with config.precision([dtype]):
            yield
    finally:
        config.set_floatx(before)


def called(entry, unknown=False):
    """A new layer of the entry, the symbols it was called on and those it returned."""
    reset_names()
    layer = entry.make(KERAS)
    size = entry.inputs[0][0] if "stateful" in entry.options else None
    shapes = entry.unknown if unknown else [shape[1:] for shape in entry.shapes()]
    dtypes = entry.dtypes(config.floatx())
    symbols = [layers.Input(batch_shape=(size, *shape), dtype=d) for shape, d in zip(shapes, dtypes, strict=True)]
    return layer, symbols, layer(unpacked(entry, symbols))


@functools.cache
def filled(entry, dtype="float32"):
    """A layer with the catalogue's weights: layer, params, state, inputs."""
    with float_type(dtype):
        layer, _, _ = called(entry)
        for number, variable in enumerate(layer.weights):
            variable.value = weight(number, variable.name, variable.shape).astype(jnp.dtype(dtype))
        params, state = jax.tree.map(lambda variable: variable.value, layer.variables())
        arrays = zip(entry.arrays(), entry.dtypes(dtype), strict=True)
        return layer, params, state, unpacked(entry, [array.astype(jnp.dtype(kind)) for array, kind in arrays])


def specs(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree)


def program(layer, entry, training):
    """The text of the computation, without addresses in memory, and the shapes of outputs and state: equal texts are
    equal functions."""
    _, params, state, inputs = filled(entry)

    def apply(params, state, inputs, key):
        return layer.apply(params, state, inputs, key=key, training=training)

    traced, results = jax.make_jaxpr(apply, return_shape=True)(params, state, inputs, KEY)
    return re.sub(r"0x[0-9a-f]+", "", str(traced)), results


@functools.cache
def own_program(entry, training):
    return program(filled(entry)[0], entry, training)


def contents(layer):
    """What hangs on a layer and on all that it is made of, by identity; of lists and dicts also what is in them."""
    found = []
    for name, value in vars(layer).items():
        inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else []
        found.append((name, id(value), [id(item) for item in inside]))
    return [found, *(contents(part) for part in layer.sublayers().values())]


# --------------------------------------------------------------------------------------------- all layers, as in Keras


def classes_of(layer) -> set:
    """The classes of a layer and of all that it is made of."""
    return set(type(layer).__mro__).union(*(classes_of(part) for part in layer.sublayers().values()))


def test_every_layer_is_in_the_catalogue():
    found = set().union(*(classes_of(filled(entry)[0]) for entry in CATALOGUE))
    things = [getattr(layers, name) for name in layers.__all__ if name not in BASES]
    assert not {t.__name__ for t in things if isinstance(t, type) and issubclass(t, layers.Layer) and t not in found}
    assert set(SAYS) == {entry.id for entry in CATALOGUE} and len(SAYS) == len(CATALOGUE)


@table()
def test_weights_and_shapes_are_those_of_keras(entry):
    """Names, shapes and order of weights; shapes of outputs, also where sizes of the input are not known."""
    layer = filled(entry)[0]
    outputs, says = layer.get_output_at(-1), SAYS[entry.id]
    assert [[w.name, list(w.shape)] for w in layer.weights] == says["weights"]
    order = says.get("order", range(len(layer.weights)))
    assert layer.saved_weights() == [layer.weights[place] for place in order]
    assert [list(symbol.shape[1:]) for symbol in jax.tree.leaves(outputs)] == says["shape"]
    if entry.unknown:
        layer, symbols, outputs = called(entry, unknown=True)
        assert [list(symbol.shape[1:]) for symbol in jax.tree.leaves(outputs)] == says["unknown"]
        assert [[w.name, list(w.shape)] for w in layer.weights] == says["weights"]
        shapes = jax.tree.map(lambda symbol: symbol.shape, outputs)
        assert layer.compute_output_shape(unpacked(entry, [symbol.shape for symbol in symbols])) == shapes


ADDRESSES = {
    "advanced_activations": "ELU InputSpec Layer LeakyReLU PReLU ReLU Softmax ThresholdedReLU",
    "convolutional_recurrent": "ConvLSTM2D ConvRNN2D ConvRecurrent2D InputSpec Layer RNN Recurrent has_arg",
    "normalization": "BatchNormalization InputSpec Layer",
    "recurrent": "GRU InputSpec LSTM Layer RNN Recurrent SimpleRNN SimpleRNNCell StackedRNNCells has_arg",
    "wrappers": "Bidirectional InputSpec Layer TimeDistributed Wrapper has_arg",
}


@pytest.mark.parametrize("module", ADDRESSES)
def test_second_addresses(module):
    found = importlib.import_module(f"jkeras.layers.{module}")
    assert not [name for name in ADDRESSES[module].split() if not hasattr(found, name)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Input(3), TypeError, "Input: `shape` must be a tuple.*Received: 3"),
        (lambda: layers.Input(batch_shape="23"), TypeError, "Input: `batch_shape` must be a tuple.*'23'"),
        (lambda: layers.Dense(2, input_shape="4", name="d"), TypeError, r"^Layer d \(Dense\): `input_shape`.*'4'"),
        (lambda: layers.Dense(2, input_dim="4"), TypeError, "`input_dim` must be a tuple.*'4'"),
        (lambda: layers.Dense(2, batch_input_shape=(2, 4.5)), TypeError, "`batch_input_shape`.*4.5"),
        (lambda: layers.InputLayer(input_shape=(4, True)), TypeError, "InputLayer.*`input_shape`.*True"),
    ],
)
def test_shapes_that_are_none(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_error_names_the_layer_once():
    dense = layers.Dense(2, name="sole")
    dense(layers.Input((4,)))
    for layer, shape in (
        (layers.Conv2D(2, 3, name="sole"), (2, 2, 1)),
        (layers.Flatten(name="sole"), None),
        (dense, (5,)),
    ):
        inputs = layers.Masking()(layers.Input((3, 4))) if shape is None else layers.Input(shape)
        with pytest.raises((TypeError, ValueError)) as caught:
            layer(inputs)
        assert str(caught.value).count("sole") == 1


def test_a_layer_keeps_an_old_implementation():
    with pytest.warns(UserWarning, match="implementation=0"):
        layer = layers.LSTM(2, implementation=0)
    assert layer.get_config()["implementation"] == layer.cell.implementation == 0
    assert layers.LSTM.from_config(layer.get_config()).implementation == 1


# ------------------------------------------------------------------------------------------------- without computing


@table()
def test_pure(entry):
    """The same arguments give the same computation, and nothing stays behind: on the layer or outside."""
    layer, params, state, inputs = filled(entry)
    shapes = unpacked(entry, entry.shapes())
    before = contents(layer)
    first, second = (layer.init(jax.random.key(3), shapes) for _ in range(2))
    assert specs(first) == specs((params, state)) == specs(second)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(first))
    assert all(map(np.array_equal, jax.tree.leaves(first), jax.tree.leaves(second)))
    for training in (False, True):
        assert program(layer, entry, training) == own_program(entry, training)

    def total(params, key):
        call = layer.run(params, state, inputs, key=key, training=True)
        return sum(jnp.sum(output) for output in jax.tree.leaves(call.outputs)), call.state

    with jax.checking_leaks():
        gradient, after = jax.eval_shape(jax.grad(total, has_aux=True), params, KEY)
    assert specs(gradient) == specs(params) and specs(after) == specs(state)
    assert contents(layer) == before


@table()
def test_inferred_is_actual(entry):
    layer, params, state, _ = filled(entry)
    inferred = layer.get_output_at(-1)
    _, (outputs, _) = own_program(entry, False)
    size = entry.inputs[0][0] if "stateful" in entry.options else None
    assert specs(inferred) == jax.tree.map(lambda array: ((size, *array.shape[1:]), str(array.dtype)), outputs)
    assert jax.tree.map(lambda v: v.shape, layer.variables()) == jax.tree.map(jnp.shape, (params, state))


@table(lambda entry: "partial" not in entry.options)
def test_a_config_makes_the_same_layer(entry):
    layer = filled(entry)[0]
    twin = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert type(twin) is type(layer)
    assert json.dumps(twin.get_config()) == json.dumps(layer.get_config())
    if type(layer).__module__ != models.__name__:  # whose layers' names are the same, but not their numbering
        twin(unpacked(entry, called(entry)[1]))
    for training in (False, True):
        assert program(twin, entry, training) == own_program(entry, training)


# --------------------------------------------------------------------------------------------- compiled, many at a time

CHUNK = 24  # layers in one program: compiling each alone takes several times longer


def chunks(chosen):
    return [tuple(chosen[start : start + CHUNK]) for start in range(0, len(chosen), CHUNK)]


def of_chunk(entry, function, *arguments):
    """The part of `entry` in `function(chunk, *arguments)`, its chunk's results; alone if the chunk fails."""
    place = CATALOGUE.index(entry)
    together = whole(chunks(CATALOGUE)[place // CHUNK], function, *arguments)
    return function((entry,), *arguments)[0] if together is None else together[place % CHUNK]


@functools.cache
def whole(chunk, function, *arguments):
    """`function(chunk, *arguments)`, or None if it raises: one of the layers does."""
    try:
        return function(chunk, *arguments)
    except Exception:
        return None


def takes_masks(entry) -> bool:
    """Whether to give it a mask: where Keras takes one, and where Keras only fails on the way."""
    masked = SAYS[entry.id].get("masked")
    return masked != "refused" and (masked is not None or "consumes" in entry.options)


def is_floating(inputs) -> bool:
    return all(leaf.dtype.kind != "i" for leaf in jax.tree.leaves(inputs))


def all_of(layer, entry, params, state, inputs):
    """Everything about one layer: outputs, outputs and state in training, their slope, and outputs with a mask."""

    def total(floats):
        values = floats[1] if is_floating(inputs) else inputs
        result = layer.apply(floats[0], state, values, key=KEY, training=True)
        return sum(jnp.sum(jnp.sin(output)) for output in jax.tree.leaves(result[0])), result

    (value, training), gradient = jax.value_and_grad(total, has_aux=True, allow_int=True)((params, inputs))
    masked = None
    if takes_masks(entry):
        call = layer.run(params, state, inputs, mask=unpacked(entry, [jnp.asarray(mask) for mask in entry.masks()]))
        masked = call.outputs, call.mask
    draws = own_program(entry, True)[0] != own_program(entry, False)[0]
    return {
        "quiet": layer.apply(params, state, inputs)[0] if draws else training[0],
        "training": training,
        "total": value,
        "gradient": gradient if is_floating(inputs) else (gradient[0], None),
        "masked": masked,
    }


@functools.cache
def compiled(chunk):
    """`all_of` of a chunk's layers, in 64 bits."""
    layers_of_chunk = [filled(entry, "float64")[0] for entry in chunk]

    def run(arguments):
        triples = zip(layers_of_chunk, chunk, arguments, strict=True)
        return [all_of(layer, entry, *values) for layer, entry, values in triples]

    return jax.jit(run)


@functools.cache
def directions(entry):
    """In which direction weights and inputs are moved; inputs that are zero (as masked steps are) stay."""
    _, params, _, inputs = filled(entry, "float64")
    generator = np.random.RandomState(5)
    directions = jax.tree.map(lambda leaf: generator.uniform(-1, 1, leaf.shape) * (leaf != 0), (params, inputs))
    return directions if is_floating(inputs) else (directions[0], jax.tree.map(lambda leaf: 0, inputs))


@functools.cache
def results(chunk, what):
    """The results of a chunk where "here", moved "ahead" or "behind", or with other inputs where "masked"."""
    distance = {"ahead": 1e-6, "behind": -1e-6}.get(what, 0)
    arguments = []
    with float_type("float64"):
        for entry in chunk:
            _, params, state, inputs = filled(entry, "float64")
            if distance:
                moved = zip(jax.tree.leaves((params, inputs)), jax.tree.leaves(directions(entry)), strict=True)
                leaves = [leaf if leaf.dtype.kind == "i" else leaf + distance * step for leaf, step in moved]
                params, inputs = jax.tree.unflatten(jax.tree.structure((params, inputs)), leaves)
            if what == "masked" and "consumes" in entry.options:
                first, *rest = inputs if entry.several else [inputs]
                away = ~entry.masks()[0].reshape(first.shape[:2] + (1,) * (first.ndim - 2))
                inputs = unpacked(entry, [np.where(away, 7.0, first), *rest])
            arguments.append((params, state, inputs))
        return jax.tree.map(np.asarray, compiled(chunk)(arguments))


def result(entry, what="here"):
    return of_chunk(entry, results, what)


@table(lambda entry: "gpu" not in entry.options)
def test_numbers_are_those_of_keras(entry):
    outputs = jax.tree.leaves(result(entry)["quiet"])
    size = max(float(np.abs(output).sum()) for output in outputs)
    np.testing.assert_allclose([fingerprint(o) for o in outputs], SAYS[entry.id]["values"], rtol=1e-5, atol=2e-6 * size)


def last_of_class(chosen):
    """The last entry of each class among `chosen`; all of them with JKERAS_CATALOGUE=all, which takes minutes."""
    if os.environ.get("JKERAS_CATALOGUE") == "all":
        return chosen
    last = {type(filled(entry)[0]).__name__: entry for entry in chosen}
    return [entry for entry in chosen if entry in last.values()]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_compiled_is_eager(number):
    """Of one entry of each class: what is computed step by step is compiled step by step, which takes long."""
    for entry in last_of_class(CATALOGUE)[number::4]:
        with float_type("float64"):
            layer, params, state, inputs = filled(entry, "float64")
            eager = layer.apply(params, state, inputs, key=KEY, training=True)
        close(result(entry)["training"], eager, rtol=1e-9, atol=1e-11, err_msg=entry.id)


@table()
def test_gradients_are_those_of_differences(entry):
    here, slope = result(entry), (result(entry, "ahead")["total"] - result(entry, "behind")["total"]) / 2e-6
    gradient, direction = jax.tree.leaves(here["gradient"]), jax.tree.leaves(directions(entry))
    along = sum(np.vdot(one, other) for one, other in zip(gradient, direction, strict=False))
    np.testing.assert_allclose(along, slope, rtol=1e-6, atol=1e-8)


@table(lambda entry: "masked" in SAYS[entry.id])
def test_masks_are_those_of_keras(entry):
    says = SAYS[entry.id]
    if says["masked"] == "refused":
        layer, params, state, inputs = filled(entry)
        masks = unpacked(entry, [jnp.asarray(mask) for mask in entry.masks()])
        with pytest.raises((TypeError, ValueError), match="[Mm]asking"):
            jax.eval_shape(lambda: layer.run(params, state, inputs, mask=masks).outputs)
        return
    outputs, masks = result(entry)["masked"]
    outputs = jax.tree.leaves(outputs)
    masks = list(masks) if isinstance(masks, (list, tuple)) else [masks]
    assert [None if mask is None else mask.astype(int).tolist() for mask in masks] == says["masks"]
    size = max(float(np.abs(output).sum()) for output in outputs)
    np.testing.assert_allclose([fingerprint(o) for o in outputs], says["masked"], rtol=1e-5, atol=2e-6 * size)


@table(lambda entry: "consumes" in entry.options)
def test_masked_steps_do_not_count(entry):
    close(result(entry, "masked")["masked"], result(entry)["masked"], rtol=1e-12, atol=0)
    assert not same_bits(result(entry, "masked")["quiet"], result(entry)["quiet"])


# ------------------------------------------------------------------------------------------------------- other types


HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


@HALVES
@table()
def test_types_are_those_asked_for(entry, dtype):
    """With `set_floatx`, weights, symbols, outputs, states and gradients are of that type."""
    with float_type(dtype):
        layer, params, state, inputs = filled(entry, dtype)

        def total(params, inputs):
            outputs, after = layer.apply(params, state, inputs, key=KEY, training=True)
            return sum(jnp.sum(output) for output in jax.tree.leaves(outputs)), (outputs, after)

        gradient, (outputs, after) = jax.eval_shape(jax.grad(total, has_aux=True), params, inputs)
        found = [*jax.tree.leaves(layer.get_output_at(-1)), *layer.weights, *jax.tree.leaves((outputs, gradient))]
        assert {str(one.dtype) for one in found} == {dtype}
        assert specs(after) == specs(state)


@HALVES
@pytest.mark.parametrize("number", range(4))
def test_halves_are_near(number, dtype):
    """The numbers of one layer of each class, in 16 bits."""
    chosen = last_of_class(CATALOGUE)[number::4]
    error = 0.004 if dtype == "float16" else 0.03
    with float_type(dtype):
        made = [filled(entry, dtype) for entry in chosen]

        def run(arguments):
            return [layer.apply(*values)[0] for (layer, *_), values in zip(made, arguments, strict=True)]

        found = jax.jit(run)([values for _, *values in made])
    for entry, outputs in zip(chosen, found, strict=True):
        for output, exact in zip(jax.tree.leaves(outputs), jax.tree.leaves(result(entry)["quiet"]), strict=True):
            limits = {"rtol": 8 * error, "atol": error * (1 + np.abs(exact).max())}
            np.testing.assert_allclose(np.asarray(output).astype("float64"), exact, err_msg=entry.id, **limits)


# ------------------------------------------------------------------------------------------------------------ training


class Scale(layers.Layer):
    """One weight that the inputs are multiplied with: what it becomes shows the gradient for the inputs."""

    traces: list = []

    def declare(self, input_shape):
        return {"scale": self.weight("scale", (), "ones")}, {}

    def apply(self, params, state, inputs, *, key=None, training=False, mask=None):
        self.traces.append(self.name)
        return inputs * params["scale"], state


def flat(x):
    return x.reshape((x.shape[0], -1))


def branches(chosen):
    """A model in which each of the layers has inputs, and a part of the output, of its own; and data for ten steps."""
    inputs, outputs, data = [], [], []
    for entry in chosen:
        layer = entry.make(KERAS)
        symbols = [
            layers.Input(batch_shape=(2, *s[1:]), dtype=d) for s, d in zip(entry.shapes(), entry.dtypes(), strict=True)
        ]
        scaled = [Scale()(symbol) if symbol.dtype == "float32" else symbol for symbol in symbols]
        made = layer(unpacked(entry, scaled))
        outputs += [layers.Lambda(flat)(one) for one in (made if isinstance(made, list) else [made])]
        inputs += symbols
        data += [np.concatenate([np.roll(array, step, -1) for step in range(10)]) for array in entry.arrays()]
        layer.name = entry.id
    return models.Model(inputs, layers.concatenate(outputs)), data


def trained(chosen, devices):
    """Weights after ten steps, by name; and how often the model was traced in the first and in a second `fit`."""
    random.seed(0)
    reset_names()
    model, data = branches(chosen)
    size = model.output_shape[-1]
    model.compile(optimizers.SGD(lr=0.002 * size), "mse", devices=devices)
    target = np.random.RandomState(0).uniform(-1, 1, (20, size)).astype("float32")
    traces = []
    for epochs in (1, 1):
        Scale.traces.clear()
        model.fit(data, target, batch_size=2, epochs=epochs, shuffle=False, verbose=0, key=jax.random.key(4))
        traces.append(len(Scale.traces) / len(set(Scale.traces)) if Scale.traces else 0)
    return {w.name: w.numpy() for w in model.weights}, traces


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_one_device_is_two_and_ten_steps_are_traced_once(number):
    chosen = [entry for entry in CATALOGUE if not entry.options & {"stateful", "partial"}]
    chosen = last_of_class(chosen)[number::4]
    one, traces = trained(chosen, None)
    assert traces == [1, 0]
    two, traces = trained(chosen, 2)
    assert traces == [2, 0]  # the whole step is looked at, then that of a device
    assert list(one) == list(two)
    close(list(two.values()), list(one.values()), rtol=2e-4, atol=2e-5, err_msg=", ".join(one))


@pytest.mark.slow
def test_ten_steps_of_stateful_layers_are_traced_once():
    assert trained([entry for entry in CATALOGUE if "stateful" in entry.options], None)[1] == [1, 0]
