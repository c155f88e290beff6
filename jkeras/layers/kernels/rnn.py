"""The loop over time, and the arithmetic of the recurrent cells.

`loop` runs any step function. `lstm` and `gru` run a whole sequence with a derivative of their own: autodiff would add
to the gradients of the weights once per time step. Here what changes of weights and inputs do to the gates is computed
for all steps at once, before the loop over time; transposed, it is one matrix product per weight, after the loop.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

__all__ = ["gru", "gru_step", "loop", "lstm", "lstm_step", "project", "time_major"]


def time_major(inputs: ArrayLike, mask: ArrayLike | None = None, go_backwards: bool = False):
    """`inputs` (batch, time, ...) and `mask` (batch, time) or None, time in front, in the order of processing."""
    inputs = jnp.moveaxis(jnp.asarray(inputs), 1, 0)
    if mask is not None:
        mask = jnp.moveaxis(jnp.asarray(mask), 1, 0).astype(bool)
    if go_backwards:
        inputs = jnp.flip(inputs, 0)
        mask = None if mask is None else jnp.flip(mask, 0)
    return inputs, mask


def _choose(keep, new, old):
    """`new` for the examples that `keep` says, `old` for the others."""
    return jnp.where(keep.reshape(keep.shape + (1,) * (new.ndim - keep.ndim)), new, old)


def loop(
    step: Callable, inputs: ArrayLike, states: Sequence, *, mask: ArrayLike | None = None, go_backwards: bool = False,
    unroll: bool = False, sequences: bool = True,
):  # fmt: skip
    """Run `step` over the time steps of `inputs`, as Keras's `K.rnn`.

    Arguments:
        step: `step(x, states, time) -> output, states`, x: (batch, ...), states: a list of arrays.
        inputs: (batch, time, ...). states: the list of initial states.
        mask: (batch, time), false where a step does not count. There the states stay; the output is `states[0]` in the
            loop and, unrolled, the previous output (at first zeros): not the same where outputs are not first states.
        go_backwards: from the last step to the first; the outputs are in the order of processing.
        unroll: a Python loop in place of `lax.scan`.
        sequences: whether the outputs of all steps are wanted.

    Returns:
        last output (batch, ...), outputs (batch, time, ...) or None, list of last states.
    """
    states = [jnp.asarray(state) for state in states]
    if mask is not None and not states:
        raise ValueError(
            "No initial states provided! When using masking in an RNN, you should provide initial states (and your "
            "step function should return as its first state at time `t` the output at time `t-1`)."
        )
    inputs, mask = time_major(inputs, mask, go_backwards)
    output = jax.eval_shape(lambda x, s: step(x, s, 0)[0], inputs[0], states)
    last = jnp.zeros(output.shape, output.dtype)

    def body(carry, now):
        states, last = carry
        x, keep, time = now
        output, new = step(x, list(states), time)
        new = [n.astype(s.dtype) for n, s in zip(new, states, strict=True)]
        if keep is not None:
            output = _choose(keep, output, last if unroll else states[0])
            new = [_choose(keep, n, s) for n, s in zip(new, states, strict=True)]
        output = output.astype(last.dtype)
        return (new, output), (output if sequences else None)

    length = inputs.shape[0]
    if unroll:
        carry, outputs = (states, last), []
        for time in range(length):
            carry, output = body(carry, (inputs[time], None if mask is None else mask[time], time))
            outputs.append(output)
        outputs = jnp.stack(outputs) if sequences else None
    else:
        carry, outputs = lax.scan(body, (states, last), (inputs, mask, jnp.arange(length)))
    states, last = carry
    return last, None if outputs is None else jnp.moveaxis(outputs, 0, 1), states


# ------------------------------------------------------------------------------------------------------- single steps


def project(inputs: jax.Array, kernel: jax.Array, bias: jax.Array | None = None, masks: jax.Array | None = None):
    """inputs @ kernel + bias, the inputs of each gate multiplied by its dropout mask.

    Arguments:
        inputs: (batch, size). kernel: (size, gates * units). bias: (gates * units,) or None.
        masks: None, or (batch, gates, size); with one gate the same mask serves all.
    """
    if masks is None or masks.shape[1] == 1:
        outputs = (inputs if masks is None else inputs * masks[:, 0]) @ kernel
    else:
        gates = masks.shape[1]
        parts = jnp.split(kernel, gates, axis=1)
        outputs = jnp.concatenate([(inputs * masks[:, gate]) @ part for gate, part in enumerate(parts)], axis=-1)
    return outputs if bias is None else outputs + bias


def lstm_step(gates: jax.Array, carry: jax.Array, activation: Callable, recurrent_activation: Callable):
    """The states h and c after a step with the gates' sums `gates` (batch, 4 * units), in the order i, f, c, o."""
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    carry = recurrent_activation(f) * carry + recurrent_activation(i) * activation(g)
    return recurrent_activation(o) * activation(carry), carry


def gru_step(
    from_inputs: jax.Array, hidden: jax.Array, kernel: jax.Array, bias: jax.Array | None, activation: Callable,
    recurrent_activation: Callable, *, reset_after: bool, masks: jax.Array | None = None,
):  # fmt: skip
    """A step with the inputs' part of the sums `from_inputs` (batch, 3 * units), in the order z, r, h.

    Arguments:
        hidden: (batch, units). kernel: (units, 3 * units). bias: (3 * units,) or None, with `reset_after` only.
        masks: dropout masks of `hidden`, (batch, gates, units), or None.

    Returns:
        the new state; the sums of the gates, (batch, 3 * units); with `reset_after`, what r was multiplied with.
    """
    units = hidden.shape[-1]
    if masks is not None and masks.shape[1] == 1:  # one mask for all gates: Keras mixes the masked state in, too
        hidden, masks = hidden * masks[:, 0], None
    reset = None
    if reset_after:
        from_hidden = project(hidden, kernel, bias, masks)
        sums = from_inputs[:, : 2 * units] + from_hidden[:, : 2 * units]
        z, r = jnp.split(recurrent_activation(sums), 2, axis=-1)
        reset = from_hidden[:, 2 * units :]
        candidate = r * reset
    else:
        gate_masks = None if masks is None else masks[:, :2]
        sums = from_inputs[:, : 2 * units] + project(hidden, kernel[:, : 2 * units], None, gate_masks)
        z, r = jnp.split(recurrent_activation(sums), 2, axis=-1)
        candidate = (r * (hidden if masks is None else hidden * masks[:, 2])) @ kernel[:, 2 * units :]
    candidate = from_inputs[:, 2 * units :] + candidate
    new = z * hidden + (1 - z) * activation(candidate)
    return new, jnp.concatenate([sums, candidate], axis=-1), reset


# -------------------------------------------------------------------------------------------------- whole sequences


def _slope(function, values):
    """function(values) and its derivative there; `function` is elementwise."""
    return jax.jvp(function, (values,), (jnp.ones_like(values),))


def _before(initial, states):
    """What each step started from: (time, batch, units)."""
    return jnp.concatenate([initial[None], states[:-1]])


def _changes(*products):
    """The sum of `function(tangent)` over the pairs (function, tangent), those without a tangent aside; 0 if none has
    one."""
    given = [function(tangent) for function, tangent in products if not _is_zero(tangent)]
    return sum(given[1:], given[0]) if given else 0.0


def _is_zero(tangent):
    return tangent is None or isinstance(tangent, SymbolicZero)


def _of_all(steps, change):
    """steps @ change of arrays (time, batch, size) as one product, which its transpose is then, too."""
    return (steps.reshape(-1, steps.shape[-1]) @ change).reshape(*steps.shape[:2], -1)


def _times(changes, transposed):
    """changes @ transposed.T. That this was transposed before a loop makes the loop's transpose a plain product."""
    return lax.dot_general(changes, transposed, (((1,), (1,)), ((), ())))


def _start(tangent, initial):
    return jnp.zeros_like(initial) if _is_zero(tangent) else tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def lstm(
    options: tuple, weights: tuple, inputs: ArrayLike, hidden: jax.Array, carry: jax.Array, keep: jax.Array | None
):
    """An LSTM over a whole sequence.

    Arguments:
        options: (activation, recurrent_activation, sequences): two elementwise functions, and whether all outputs are
            wanted.
        weights: kernel (size, 4 * units), recurrent kernel (units, 4 * units), bias (4 * units,) or None.
        inputs: (time, batch, size). hidden, carry: the initial states, (batch, units).
        keep: (time, batch), false where a step does not count, or None.

    Returns:
        outputs (time, batch, units) or None, and the last states h and c.
    """
    outputs, _, _, states = _lstm_forward(options, weights, inputs, hidden, carry, keep, save=False)
    return outputs, *states


def _lstm_forward(options, weights, inputs, hidden, carry, keep, save) -> Any:
    activation, recurrent_activation, sequences = options
    kernel, recurrent_kernel, bias = weights

    def body(states, now):
        x, keep = now
        hidden, carry = states
        gates = project(x, kernel, bias) + hidden @ recurrent_kernel
        new = lstm_step(gates, carry, activation, recurrent_activation)
        if keep is not None:
            new = tuple(_choose(keep, n, s) for n, s in zip(new, states, strict=True))
        return new, (new[0] if sequences or save else None, *((new[1], gates) if save else (None, None)))

    states, (hiddens, carries, gates) = lax.scan(body, (hidden, carry), (inputs, keep))
    return hiddens, carries, gates, states


@functools.partial(lstm.defjvp, symbolic_zeros=True)
def _lstm_tangents(options, primals, tangents):
    activation, recurrent_activation, sequences = options
    (kernel, recurrent_kernel, _), inputs, hidden, carry, keep = primals
    (to_kernel, to_recurrent_kernel, to_bias), to_inputs, to_hidden, to_carry, _ = tangents
    hiddens, carries, gates, states = _lstm_forward(options, *primals, save=True)
    before = _before(carry, carries)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    (i, i_slope), (f, f_slope), (o, o_slope) = (_slope(recurrent_activation, gate) for gate in (i, f, o))
    g, g_slope = _slope(activation, g)
    new, new_slope = _slope(activation, f * before + i * g)
    # what a gate's sum does to the new carry (i, f, g) or to the output (o); what the new carry does to the output
    factors = (g * i_slope, before * f_slope, i * g_slope, new * o_slope)
    through = o * new_slope
    to_gates = jnp.zeros_like(gates) + _changes(
        (lambda change: _of_all(inputs, change), to_kernel),
        (lambda change: _of_all(change, kernel), to_inputs),
        (lambda change: _of_all(_before(hidden, hiddens), change), to_recurrent_kernel),
        (lambda change: change, to_bias),
    )

    transposed = recurrent_kernel.T

    def body(changes, now):
        to_hidden, to_carry = changes
        to_gates, (of_i, of_f, of_g, of_o), f, through, keep = now
        to_i, to_f, to_g, to_o = jnp.split(to_gates + _times(to_hidden, transposed), 4, axis=-1)
        new_carry = f * to_carry + of_i * to_i + of_f * to_f + of_g * to_g
        new = (of_o * to_o + through * new_carry, new_carry)
        if keep is not None:
            new = tuple(_choose(keep, n, s) for n, s in zip(new, changes, strict=True))
        return new, new[0] if sequences else None

    start = _start(to_hidden, hidden), _start(to_carry, carry)
    changes, of_outputs = lax.scan(body, start, (to_gates, factors, f, through, keep))
    return (hiddens if sequences else None, *states), (of_outputs, *changes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def gru(options: tuple, weights: tuple, inputs: ArrayLike, hidden: jax.Array, keep: jax.Array | None):
    """A GRU over a whole sequence.

    Arguments:
        options: (activation, recurrent_activation, reset_after, sequences): two elementwise functions, whether the
            reset gate comes after the matrix product, and whether all outputs are wanted.
        weights: kernel (size, 3 * units), recurrent kernel (units, 3 * units), bias and recurrent bias (3 * units,) or
            None.
        inputs: (time, batch, size). hidden: the initial state, (batch, units).
        keep: (time, batch), false where a step does not count, or None.

    Returns:
        outputs (time, batch, units) or None, and the last state.
    """
    outputs, _, _, state = _gru_forward(options, weights, inputs, hidden, keep, save=False)
    return outputs, state


def _gru_forward(options, weights, inputs, hidden, keep, save) -> Any:
    activation, recurrent_activation, reset_after, sequences = options
    kernel, recurrent_kernel, bias, recurrent_bias = weights

    def body(hidden, now):
        x, keep = now
        new, sums, reset = gru_step(
            project(x, kernel, bias),
            hidden,
            recurrent_kernel,
            recurrent_bias,
            activation,
            recurrent_activation,
            reset_after=reset_after,
        )
        if keep is not None:
            new = _choose(keep, new, hidden)
        return new, (new if sequences or save else None, *((sums, reset) if save else (None, None)))

    state, (hiddens, sums, resets) = lax.scan(body, hidden, (inputs, keep))
    return hiddens, sums, resets, state


@functools.partial(gru.defjvp, symbolic_zeros=True)
def _gru_tangents(options, primals, tangents):
    activation, recurrent_activation, reset_after, sequences = options
    (kernel, recurrent_kernel, _, _), inputs, hidden, keep = primals
    (to_kernel, to_recurrent_kernel, to_bias, to_recurrent_bias), to_inputs, to_hidden, _ = tangents
    hiddens, sums, resets, state = _gru_forward(options, *primals, save=True)
    units = hidden.shape[-1]
    before = _before(hidden, hiddens)
    z, r, candidate = jnp.split(sums, 3, axis=-1)
    (z, z_slope), (r, r_slope) = _slope(recurrent_activation, z), _slope(recurrent_activation, r)
    candidate, candidate_slope = _slope(activation, candidate)
    # what a gate's sum does to the new state (z, candidate), or to the candidate's sum (r)
    factors = ((before - candidate) * z_slope, (resets if reset_after else before) * r_slope, (1 - z) * candidate_slope)

    def of_state(change):
        if reset_after:
            return by_reset(_of_all(before, change))
        gates, candidates = jnp.split(change, [2 * units], axis=1)
        return jnp.concatenate([_of_all(before, gates), _of_all(r * before, candidates)], axis=-1)

    def by_reset(change):
        gates, candidates = jnp.split(jnp.broadcast_to(change, sums.shape), [2 * units], axis=-1)
        return jnp.concatenate([gates, r * candidates], axis=-1)

    to_sums = jnp.zeros_like(sums) + _changes(
        (lambda change: _of_all(inputs, change), to_kernel),
        (lambda change: _of_all(change, kernel), to_inputs),
        (lambda change: change, to_bias),
        (of_state, to_recurrent_kernel),
        (by_reset, to_recurrent_bias),
    )
    transposed = recurrent_kernel.T
    of_gates, of_candidate = jnp.split(transposed, [2 * units])

    def body(to_hidden, now):
        to_sums, (of_z, of_r, of_c), z, r, keep = now
        to_z, to_r, to_candidate = jnp.split(to_sums, 3, axis=-1)
        if reset_after:
            by_z, by_r, by_candidate = jnp.split(_times(to_hidden, transposed), 3, axis=-1)
            to_r = to_r + by_r
            to_candidate = to_candidate + r * by_candidate + of_r * to_r
        else:
            by_z, by_r = jnp.split(_times(to_hidden, of_gates), 2, axis=-1)
            to_r = to_r + by_r
            to_candidate = to_candidate + _times(r * to_hidden + of_r * to_r, of_candidate)
        new = z * to_hidden + of_z * (to_z + by_z) + of_c * to_candidate
        if keep is not None:
            new = _choose(keep, new, to_hidden)
        return new, new if sequences else None

    change, of_outputs = lax.scan(body, _start(to_hidden, hidden), (to_sums, factors, z, r, keep))
    return (hiddens if sequences else None, state), (of_outputs, change)
