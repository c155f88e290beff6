"""The loop over time, and the arithmetic of the recurrent cells.

`loop` runs any step function. `lstm` and `gru` run a whole sequence with a gradient of their own: autodiff would add to
the gradients of the weights once per time step, here each of them is one matrix product over all steps at the end.
They can be differentiated backwards as often as one likes, but not forwards (`jax.jvp`): that takes `loop`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
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


def _product(left, right):
    """The sum over time and batch of the outer products, (size of left, size of right)."""
    return left.reshape((-1, left.shape[-1])).T @ right.reshape((-1, right.shape[-1]))


def _column(keep, dtype):
    return None if keep is None else keep[..., None].astype(dtype)


def _with_own_gradient(function) -> Any:
    """A function of options, which are no arrays, and of arrays, whose gradient `defvjp` takes."""
    return jax.custom_vjp(function, nondiff_argnums=(0,))


@_with_own_gradient
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


def _lstm_forward(options, weights, inputs, hidden, carry, keep, save):
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


def _lstm_saved(options, weights, inputs, hidden, carry, keep):
    hiddens, carries, gates, states = _lstm_forward(options, weights, inputs, hidden, carry, keep, save=True)
    outputs = hiddens if options[2] else None
    return (outputs, *states), (weights, inputs, hidden, carry, keep, hiddens, carries, gates)


def _lstm_gradient(options, saved, gradients):
    activation, recurrent_activation, sequences = options
    weights, inputs, hidden, carry, keep, hiddens, carries, gates = saved
    kernel, recurrent_kernel, bias = weights
    of_outputs, of_hidden, of_carry = gradients
    before = _before(carry, carries)
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    (i, i_slope), (f, f_slope), (o, o_slope) = (_slope(recurrent_activation, gate) for gate in (i, f, o))
    g, g_slope = _slope(activation, g)
    new, new_slope = _slope(activation, f * before + i * g)
    # what a gate's sum does to the new carry (i, f, g) or to the output (o); what the new carry does to the output
    factors = (g * i_slope, before * f_slope, i * g_slope, new * o_slope)
    through = o * new_slope
    transposed = recurrent_kernel.T

    def body(states, now):
        of_hidden, of_carry = states
        of_output, (to_i, to_f, to_g, to_o), f, through, keep = now
        if of_output is not None:
            of_hidden = of_hidden + of_output
        skipped = (0.0, 0.0)
        if keep is not None:
            skipped = (1 - keep) * of_hidden, (1 - keep) * of_carry
            of_hidden, of_carry = keep * of_hidden, keep * of_carry
        of_carry = of_carry + through * of_hidden
        of_gates = jnp.concatenate([of_carry * to_i, of_carry * to_f, of_carry * to_g, of_hidden * to_o], axis=-1)
        return (of_gates @ transposed + skipped[0], of_carry * f + skipped[1]), of_gates

    steps = (of_outputs if sequences else None, factors, f, through, _column(keep, gates.dtype))
    (of_hidden, of_carry), of_gates = lax.scan(body, (of_hidden, of_carry), steps, reverse=True)
    of_weights = (
        _product(inputs, of_gates),
        _product(_before(hidden, hiddens), of_gates),
        None if bias is None else of_gates.sum((0, 1)),
    )
    return of_weights, of_gates @ kernel.T, of_hidden, of_carry, None


lstm.defvjp(_lstm_saved, _lstm_gradient)


@_with_own_gradient
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


def _gru_forward(options, weights, inputs, hidden, keep, save):
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


def _gru_saved(options, weights, inputs, hidden, keep):
    hiddens, sums, resets, state = _gru_forward(options, weights, inputs, hidden, keep, save=True)
    return (hiddens if options[3] else None, state), (weights, inputs, hidden, keep, hiddens, sums, resets)


def _gru_gradient(options, saved, gradients):
    activation, recurrent_activation, reset_after, sequences = options
    weights, inputs, hidden, keep, hiddens, sums, resets = saved
    kernel, recurrent_kernel, bias, recurrent_bias = weights
    of_outputs, of_hidden = gradients
    units = hidden.shape[-1]
    before = _before(hidden, hiddens)
    z, r, candidate = jnp.split(sums, 3, axis=-1)
    (z, z_slope), (r, r_slope) = _slope(recurrent_activation, z), _slope(recurrent_activation, r)
    candidate, candidate_slope = _slope(activation, candidate)
    # what a gate's sum does to the new state (z, candidate), or to the candidate's sum (r)
    factors = ((before - candidate) * z_slope, (resets if reset_after else before) * r_slope, (1 - z) * candidate_slope)
    transposed = recurrent_kernel.T

    def body(of_hidden, now):
        of_output, (to_z, to_r, to_candidate), z, r, keep = now
        if of_output is not None:
            of_hidden = of_hidden + of_output
        skipped = 0.0
        if keep is not None:
            skipped, of_hidden = (1 - keep) * of_hidden, keep * of_hidden
        of_z, of_candidate = of_hidden * to_z, of_hidden * to_candidate
        if reset_after:
            of_reset = of_candidate * r
            of_r = of_candidate * to_r
            back = jnp.concatenate([of_z, of_r, of_reset], axis=-1) @ transposed
        else:
            of_reset = of_candidate @ transposed[2 * units :]
            of_r = of_reset * to_r
            back = jnp.concatenate([of_z, of_r], axis=-1) @ transposed[: 2 * units] + of_reset * r
        return of_hidden * z + back + skipped, (of_z, of_r, of_candidate)

    steps = (of_outputs if sequences else None, factors, z, r, _column(keep, sums.dtype))
    of_hidden, of_sums = lax.scan(body, of_hidden, steps, reverse=True)
    of_z, of_r, of_candidate = of_sums
    of_sums = jnp.concatenate(of_sums, axis=-1)
    if reset_after:
        of_products = jnp.concatenate([of_z, of_r, of_candidate * r], axis=-1)
        of_recurrent_kernel = _product(before, of_products)
    else:
        of_products = jnp.concatenate([of_z, of_r], axis=-1)
        of_recurrent_kernel = jnp.concatenate(
            [_product(before, of_products), _product(r * before, of_candidate)], axis=-1
        )
    of_weights = (
        _product(inputs, of_sums),
        of_recurrent_kernel,
        None if bias is None else of_sums.sum((0, 1)),
        None if recurrent_bias is None else of_products.sum((0, 1)),
    )
    return of_weights, of_sums @ kernel.T, of_hidden, None


gru.defvjp(_gru_saved, _gru_gradient)
