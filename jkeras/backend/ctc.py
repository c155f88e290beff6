"""Connectionist temporal classification: the cost of a labelling, and decoding. The last class is the blank."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jkeras import config, sparse
from jkeras.backend.variables import sparse_if
from jkeras.graph.tensor import Node, SymbolicTensor, is_symbol, unique_name
from jkeras.lift import lift
from jkeras.typing import Array, ArrayLike


@lift
def ctc_batch_cost(y_true: ArrayLike, y_pred: ArrayLike, input_length: ArrayLike, label_length: ArrayLike) -> Array:
    """-log of the probability of each labelling, summed over all its alignments with the sequence.

    Arguments:
        y_true: the labels, (batch, labels) of integers.
        y_pred: probabilities, (batch, time, classes + 1); the last is that of the blank.
        input_length: how many time steps count, (batch, 1).
        label_length: how many labels count, (batch, 1).

    Returns:
        (batch, 1).

    Reference:
        Graves et al., Connectionist Temporal Classification, https://www.cs.toronto.edu/~graves/icml_2006.pdf
    """
    y_true, y_pred = jnp.asarray(y_true).astype(jnp.int32), jnp.asarray(y_pred)

    def beyond(lengths, size):
        lengths = jnp.asarray(lengths).reshape(-1, 1).astype(jnp.int32)
        return (jnp.arange(size) >= lengths).astype(y_pred.dtype)

    logits = jnp.log(y_pred + config.epsilon())
    steps, labels = beyond(input_length, y_pred.shape[1]), beyond(label_length, y_true.shape[1])
    return optax.ctc_loss(logits, steps, y_true, labels, blank_id=y_pred.shape[-1] - 1)[:, None]


def ctc_label_dense_to_sparse(labels: ArrayLike, label_lengths: ArrayLike) -> Any:
    """Labels without what fills them up, as a sparse array.

    Arguments:
        labels: (batch, labels). label_lengths: how many labels of each example count, (batch,).

    Returns:
        a `jax.experimental.sparse.BCOO` of the shape of `labels`, or its symbol.
    """
    return sparse_if(True, _label_dense_to_sparse(labels, label_lengths))


@lift
def _label_dense_to_sparse(labels, label_lengths):
    labels = jnp.asarray(labels)
    counts = jnp.arange(labels.shape[1]) < jnp.asarray(label_lengths).reshape(-1, 1)
    return sparse.where(counts, labels)


def ctc_decode(
    y_pred: ArrayLike, input_length: ArrayLike, greedy: bool = True, beam_width: int = 100, top_paths: int = 1
) -> tuple[list, Any]:
    """The most probable labellings.

    Arguments:
        y_pred: probabilities, (batch, time, classes + 1); the last is that of the blank.
        input_length: how many time steps count, (batch,).
        greedy: take the best class of each step; else search with a beam.
        beam_width: how many labellings the search keeps. top_paths: how many it returns.

    Returns:
        a list of labellings, each (batch, labels) filled up with -1 (in compiled code as long as the sequence), and
        (batch, paths): the log probabilities, with `greedy` instead -sum(log(largest probability)).
    """
    if is_symbol(y_pred) or is_symbol(input_length):
        node = _DecodeNode(y_pred, input_length, greedy, beam_width, top_paths)
        return node.outputs[:-1], node.outputs[-1]
    paths = 1 if greedy else top_paths
    if not any(isinstance(value, jax.core.Tracer) for value in (y_pred, input_length)):
        labels, scores = _decode(y_pred, input_length, greedy, beam_width, paths)
        return [part[:, : max(int((part >= 0).sum(1).max(initial=0)), 1)] for part in labels], scores
    batch, time, _ = jnp.shape(y_pred)
    shapes = (
        [jax.ShapeDtypeStruct((batch, time), jnp.int32)] * paths,
        jax.ShapeDtypeStruct((batch, paths), jnp.float32),
    )
    return jax.pure_callback(lambda p, n: _decode(p, n, greedy, beam_width, paths), shapes, y_pred, input_length)


class _DecodeNode(Node):
    """A decoding. Its outputs are as long as the longest labelling, so it cannot be compiled."""

    on_host = True

    def __init__(self, y_pred, input_length, greedy, beam_width, top_paths):
        self.function, self.args, self.kwargs = ctc_decode, (y_pred, input_length, greedy, beam_width, top_paths), {}
        self.inputs = [value for value in (y_pred, input_length) if is_symbol(value)]
        paths = 1 if greedy else top_paths
        self.outputs = [SymbolicTensor((None, None), "int32", unique_name("ctc_decode"), self) for _ in range(paths)]
        self.outputs.append(SymbolicTensor((None, paths), "float32", unique_name("ctc_decode"), self))
        self.result = self.outputs


def _decode(y_pred, input_length, greedy, beam_width, paths):
    """(paths arrays of (batch, time), filled up with -1), and (batch, paths)."""
    y_pred, lengths = np.asarray(y_pred), np.asarray(input_length).reshape(-1).astype(int)
    batch, time, classes = y_pred.shape
    labels = np.full((paths, batch, time), -1, np.int32)
    scores = np.zeros((batch, paths), np.float32)
    for row in range(batch):
        logits = np.log(y_pred[row, : lengths[row]] + config.epsilon())
        found = _best_of_each(logits) if greedy else _beam_search(logits, beam_width, paths)
        for path, (labelling, score) in enumerate(found):
            labels[path, row, : len(labelling)] = labelling
            scores[row, path] = score
    return list(labels), scores


def _merged(labelling, blank) -> list:
    """Without repetitions, and then without blanks."""
    kept = [label for place, label in enumerate(labelling) if place == 0 or label != labelling[place - 1]]
    return [label for label in kept if label != blank]


def _best_of_each(logits) -> list:
    """[(labelling, -sum of the largest logits)]."""
    best = logits.argmax(axis=1)
    return [(_merged(best.tolist(), logits.shape[1] - 1), -logits.max(axis=1).sum())]


def _beam_search(logits, width, paths) -> list:
    """[(labelling, log probability)], the best first. As in Keras 2.2.4 repeated labels of the result are merged."""
    blank = logits.shape[1] - 1
    logits = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    nothing = -np.inf
    beams = {(): (0.0, nothing)}  # labelling -> log probability of ending in a blank, and of ending in its last label
    for step in logits:
        grown: dict = {}

        def add(labelling, ends_blank, ends_label, grown=grown):
            before = grown.get(labelling, (nothing, nothing))
            grown[labelling] = (np.logaddexp(before[0], ends_blank), np.logaddexp(before[1], ends_label))

        for labelling, (ends_blank, ends_label) in beams.items():
            total = np.logaddexp(ends_blank, ends_label)
            add(labelling, total + step[blank], ends_label + step[labelling[-1]] if labelling else nothing)
            for label in range(blank):
                again = labelling and labelling[-1] == label
                add((*labelling, label), nothing, (ends_blank if again else total) + step[label])
        best = sorted(grown.items(), key=lambda item: -np.logaddexp.reduce(item[1]))
        beams = dict(best[:width])
    ranked = [(list(labelling), np.logaddexp.reduce(ends)) for labelling, ends in beams.items()]
    return [(_merged(labelling, blank), score) for labelling, score in ranked[:paths]]
