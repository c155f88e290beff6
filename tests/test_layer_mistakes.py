"""Mistakes in the use of layers: each is found before anything compiles, by an error that names the layer and says what
was given or expected."""

import numpy as np
import pytest

from jkeras import layers
from jkeras.graph.topology import Input


class Stateless:
    """A cell that lacks `state_size`."""

    def call(self, inputs, states):
        return inputs, states


def on(layer, *shapes, **arguments):
    """A call of the layer on inputs of these shapes, batch axis included."""

    def call():
        inputs = [Input(batch_shape=shape) for shape in shapes]
        return layer()(inputs if len(inputs) > 1 else inputs[0], **arguments)

    return call


def twice(layer, first, second):
    """Two calls of one layer, on inputs of two shapes."""

    def call():
        one = layer()
        one(Input(shape=first))
        one(Input(shape=second))

    return call


def reset(layer, states):
    """A stateful layer whose states are set to `states`."""

    def call():
        one = layer()
        one(Input(batch_shape=(2, 4, 2)))
        one.reset_states(states)

    return call


def masked(layer):
    return lambda: layer()(layers.Masking()(Input(shape=(4, 2))))


def with_states(layer, *sizes):
    return lambda: layer()(Input(shape=(4, 2)), initial_state=[Input(shape=(size,)) for size in sizes])


ones = np.ones
image, volume = (None, 4, 4, 1), (None, 4, 4, 4, 1)

# name of the mistake: (what makes it, the error, what its message says)
# fmt: off
CORE = {
    "dense_zero_units": (lambda: layers.Dense(0), ValueError, "Dense.*units.*positive integer.*0"),
    "dense_units_string": (lambda: layers.Dense("4"), ValueError, "Dense.*units.*positive integer.*'4'"),
    "dense_no_units": (lambda: layers.Dense(), TypeError, "Dense.*missing.*units"),
    "dense_activation": (lambda: layers.Dense(3, activation="rleu"), ValueError, "Dense.*activation.*rleu"),
    "dense_activation_number": (lambda: layers.Dense(3, activation=3), ValueError, "Dense.*activation.*3.*Expected"),
    "dense_initializer": (lambda: layers.Dense(3, kernel_initializer="he"), ValueError, "Dense.*initializer.*he"),
    "dense_regularizer": (lambda: layers.Dense(3, kernel_regularizer="l3"), ValueError, "Dense.*regularizer.*l3"),
    "dense_constraint": (lambda: layers.Dense(3, bias_constraint="pos"), ValueError, "Dense.*constraint.*pos"),
    "dense_keyword": (lambda: layers.Dense(3, acitvation="relu"), TypeError, "acitvation.*Dense"),
    "dense_rank": (on(lambda: layers.Dense(3, name="d"), (None,)), ValueError, "layer d: expected min_ndim=2.*ndim=1"),
    "dense_unknown_size": (on(lambda: layers.Dense(3), (None, None)), ValueError, "Dense.*last axis.*None"),
    "dense_array": (lambda: layers.Dense(3, name="d")(ones((2, 3))), ValueError, "Layer d .*symbolic.*ndarray"),
    "dense_two_inputs": (
        on(lambda: layers.Dense(3, name="d"), (None, 4), (None, 4)), ValueError, "d expects 1 input.*2",
    ),
    "dense_other_size": (twice(lambda: layers.Dense(3), (4,), (5,)), ValueError, "Dense.*value 4 but got.*5"),
    "weights_count": (
        on(lambda: layers.Dense(3, name="d", weights=[ones(3)]), (None, 4)), ValueError, '"d".*1.*2 weights',
    ),
    "weights_shape": (
        on(lambda: layers.Dense(3, name="d", weights=[ones((3, 4)), ones(3)]), (None, 4)),
        ValueError, r"\(4, 3\) not compatible.*\(3, 4\).*layer d",
    ),
    "weights_unbuilt": (lambda: layers.Dense(3, name="d").set_weights([ones(2)]), ValueError, '"d".*1.*expecting 0'),
    "count_unbuilt": (lambda: layers.Dense(3, name="d").count_params(), RuntimeError, "d, but.*isn't built"),
    "activation_unknown": (lambda: layers.Activation("swosh"), ValueError, "Activation.*swosh"),
    "activity_penalty": (lambda: layers.ActivityRegularization(l1="a"), ValueError, "ActivityRegularization.*'a'"),
    "lambda_function": (lambda: layers.Lambda("relu"), TypeError, "Lambda.*callable.*'relu'"),
    "lambda_output_shape": (lambda: layers.Lambda(abs, output_shape=3), TypeError, "Lambda.*output_shape.*tuple.*3"),
    "lambda_fails": (on(lambda: layers.Lambda(lambda x: x @ ones((7, 2))), (None, 4)), TypeError, "Lambda.*None, 4.*7"),
    "reshape_unknowns": (lambda: layers.Reshape((-1, -1)), ValueError, r"Reshape.*one unknown.*\(-1, -1\)"),
    "reshape_fit": (on(lambda: layers.Reshape((5,)), (None, 4)), ValueError, "Reshape.*total size.*4.*5"),
    "reshape_fit_rest": (on(lambda: layers.Reshape((-1, 3)), (None, 4)), ValueError, "Reshape.*total size.*4.*-1, 3"),
    "reshape_integer": (lambda: layers.Reshape(4), TypeError, "Reshape.*target_shape.*tuple.*4"),
    "reshape_none": (lambda: layers.Reshape((None, 3)), ValueError, "Reshape.*-1 once.*None, 3"),
    "reshape_negative": (lambda: layers.Reshape((-2, 3)), ValueError, "Reshape.*-1 once.*-2, 3"),
    "permute_batch": (lambda: layers.Permute((0, 1)), ValueError, r"Permute.*permutation of 1 to 2.*\(0, 1\)"),
    "permute_rank": (
        on(lambda: layers.Permute((2, 1), name="p"), (None, 4)), ValueError, "layer p: expected ndim=3.*2",
    ),
    "permute_integer": (lambda: layers.Permute(1), TypeError, "Permute.*dims.*tuple.*1"),
    "flatten_rank": (on(lambda: layers.Flatten(name="f"), (None, 4)), ValueError, "layer f: expected min_ndim=3.*2"),
    "flatten_layout": (lambda: layers.Flatten("last"), ValueError, "Flatten.*data_format.*channels_last.*last"),
    "flatten_mask": (masked(lambda: layers.Flatten(name="f")), TypeError, "Layer f.*does not support masking.*mask"),
    "repeat_float": (lambda: layers.RepeatVector(2.5), ValueError, "RepeatVector.*`n`.*positive integer.*2.5"),
    "repeat_rank": (
        on(lambda: layers.RepeatVector(2, name="r"), (None, 3, 3)), ValueError, "layer r: expected ndim=2.*3",
    ),
    "unknown_layer": (lambda: layers.deserialize({"class_name": "Dence", "config": {}}), ValueError, "layer: Dence"),
    "unknown_config": (
        lambda: layers.deserialize({"class_name": "Dense", "config": {"unit": 3}}), ValueError, "Dense.*units",
    ),
    "base_layer": (
        on(lambda: layers.Layer(), (None, 3)), NotImplementedError, "Layer defines neither `apply` nor `call`",
    ),
}

NOISE = {
    "dropout_above": (lambda: layers.Dropout(1.5), ValueError, "Dropout.*rate.*between 0 and 1.*1.5"),
    "dropout_percent": (lambda: layers.Dropout(50), ValueError, "Dropout.*rate.*between 0 and 1.*50"),
    "dropout_below": (lambda: layers.Dropout(-0.1), ValueError, "Dropout.*rate.*between 0 and 1.*-0.1"),
    "dropout_string": (lambda: layers.Dropout("half"), ValueError, "Dropout.*rate.*number.*'half'"),
    "noise_shape_integer": (lambda: layers.Dropout(0.5, 3), TypeError, "Dropout.*noise_shape.*tuple.*3"),
    "noise_shape_size": (
        on(lambda: layers.Dropout(0.5, (None, 3)), (None, 4)), ValueError, "Dropout.*None, 3.*broadcast.*4",
    ),
    "noise_shape_rank": (
        on(lambda: layers.Dropout(0.5, (1, 1, 1)), (None, 4)), ValueError, "Dropout.*1, 1, 1.*None, 4",
    ),
    "no_key": (
        lambda: layers.Dropout(0.5).apply({}, {}, ones((2, 2)), training=True), ValueError, "Dropout.*no key",
    ),
    "spatial_rate": (lambda: layers.SpatialDropout2D(2), ValueError, "SpatialDropout2D.*rate.*between 0 and 1.*2"),
    "spatial_rank": (
        on(lambda: layers.SpatialDropout1D(0.2, name="s"), (None, 4)), ValueError, "layer s: expected ndim=3.*ndim=2",
    ),
    "spatial_layout": (
        lambda: layers.SpatialDropout3D(0.2, data_format="last"), ValueError, "SpatialDropout3D.*channels_last.*last",
    ),
    "gaussian_dropout": (lambda: layers.GaussianDropout(1.2), ValueError, "GaussianDropout.*rate.*1.2"),
    "alpha_dropout": (lambda: layers.AlphaDropout(-1), ValueError, "AlphaDropout.*rate.*-1"),
    "gaussian_noise": (lambda: layers.GaussianNoise(-1.0), ValueError, "GaussianNoise.*stddev.*below zero.*-1"),
}

ACTIVATIONS = {
    "elu": (lambda: layers.ELU("a"), ValueError, "ELU.*'a'"),
    "leaky_relu": (lambda: layers.LeakyReLU(None), TypeError, "LeakyReLU.*NoneType"),
    "thresholded_relu": (lambda: layers.ThresholdedReLU("x"), ValueError, "ThresholdedReLU.*'x'"),
    "relu_bound": (lambda: layers.ReLU(max_value=-1), ValueError, "max_value of ReLU.*negative.*-1"),
    "relu_slope": (lambda: layers.ReLU(negative_slope=-1), ValueError, "negative_slope of ReLU.*negative.*-1"),
    "prelu_unknown": (
        on(lambda: layers.PReLU(), (None, None, 3)), ValueError, "PReLU.*shared_axes.*must be known.*None",
    ),
    "prelu_axis": (
        on(lambda: layers.PReLU(shared_axes=[3]), (None, 4, 3)), ValueError, "PReLU.*[3].*axes of the input",
    ),
    "prelu_batch": (on(lambda: layers.PReLU(shared_axes=[0]), (None, 4, 3)), ValueError, "PReLU.*[0].*from 1"),
    "prelu_initializer": (lambda: layers.PReLU("one_s"), ValueError, "PReLU.*initializer.*one_s"),
    "softmax_axis": (on(lambda: layers.Softmax(axis=3), (None, 4, 3)), ValueError, "Softmax.*axis 3 is out of bounds"),
}

NORMALIZATION = {
    "norm_axis": (
        on(lambda: layers.BatchNormalization(axis=3), (None, 4)), ValueError, "BatchNormalization.*axis 3.*None, 4",
    ),
    "norm_unknown": (
        on(lambda: layers.BatchNormalization(), (None, None)), ValueError, "BatchNormalization.*axis -1.*None, None",
    ),
    "norm_axes": (lambda: layers.BatchNormalization(axis=[1]), TypeError, "BatchNormalization.*axis.*one integer.*[1]"),
    "norm_momentum": (lambda: layers.BatchNormalization(momentum=1.5), ValueError, "BatchNormalization.*momentum.*1.5"),
    "norm_epsilon": (lambda: layers.BatchNormalization(epsilon=-1), ValueError, "BatchNormalization.*epsilon.*-1"),
    "norm_initializer": (
        lambda: layers.BatchNormalization(gamma_initializer="one_s"), ValueError, "BatchNormalization.*one_s",
    ),
    "embedding_none": (lambda: layers.Embedding(0, 3), ValueError, "Embedding.*input_dim.*positive integer.*0"),
    "embedding_negative": (lambda: layers.Embedding(3, -3), ValueError, "Embedding.*output_dim.*positive integer.*-3"),
    "embedding_float": (lambda: layers.Embedding(3.5, 3), ValueError, "Embedding.*input_dim.*positive integer.*3.5"),
    "embedding_length": (
        on(lambda: layers.Embedding(5, 3, input_length=4), (None, 6)), ValueError, "Embedding.*input_length.*4.*6",
    ),
    "embedding_initializer": (lambda: layers.Embedding(3, 3, "unifrom"), ValueError, "Embedding.*unifrom"),
}

CONVOLUTION = {
    "filters_zero": (lambda: layers.Conv2D(0, 3), ValueError, "Conv2D.*filters.*positive integer.*0"),
    "filters_negative": (lambda: layers.Conv1D(-1, 3), ValueError, "Conv1D.*filters.*positive integer.*-1"),
    "filters_float": (lambda: layers.Conv3D(2.5, 3), ValueError, "Conv3D.*filters.*positive integer.*2.5"),
    "kernel_zero": (lambda: layers.Conv2D(3, 0), ValueError, "Conv2D.*kernel_size.*0.*at least 1"),
    "kernel_rank": (lambda: layers.Conv2D(3, (3, 3, 3)), ValueError, r"Conv2D.*kernel_size.*2 integers.*\(3, 3, 3\)"),
    "kernel_float": (lambda: layers.Conv2D(3, 2.5), ValueError, "Conv2D.*kernel_size.*2 integers.*2.5"),
    "strides_zero": (lambda: layers.Conv2D(3, 3, strides=0), ValueError, "Conv2D.*strides.*0.*at least 1"),
    "dilation_zero": (lambda: layers.Conv1D(3, 3, dilation_rate=0), ValueError, "Conv1D.*dilation_rate.*0.*at least 1"),
    "strides_and_dilation": (
        lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2, name="c"), ValueError, r"Layer c: strides.*\(2, 2\)",
    ),
    "padding": (lambda: layers.Conv2D(3, 3, padding="smae"), ValueError, 'Conv2D.*padding.*"same".*smae'),
    "padding_causal": (
        lambda: layers.Conv2D(3, 3, padding="causal", name="c"), ValueError, "Layer c: .*causal.*Conv1D",
    ),
    "causal_layout": (
        lambda: layers.Conv1D(3, 3, padding="causal", data_format="channels_first"),
        ValueError, 'Conv1D.*data_format.*"channels_last".*channels_first',
    ),
    "layout": (
        lambda: layers.Conv2D(3, 3, data_format="NHWC"), ValueError, "(?i)Conv2D.*data_format.*channels_last.*nhwc",
    ),
    "conv_activation": (lambda: layers.Conv2D(3, 3, activation="rleu"), ValueError, "Conv2D.*activation.*rleu"),
    "conv_initializer": (lambda: layers.Conv3D(3, 3, kernel_initializer="he"), ValueError, "Conv3D.*initializer.*he"),
    "conv_keyword": (lambda: layers.Conv2D(3, 3, stride=2), TypeError, "'stride'.*Conv2D"),
    "conv_rank": (
        on(lambda: layers.Conv2D(3, 3, name="c"), (None, 4, 4)), ValueError, "layer c: expected ndim=4.*ndim=3",
    ),
    "conv_channels": (
        on(lambda: layers.Conv2D(3, 3, name="c"), (None, 4, 4, None)), ValueError, "Layer c: .*channel.*defined.*None",
    ),
    "conv_window": (on(lambda: layers.Conv2D(3, 5), image), ValueError, r"Conv2D.*\(5, 5\) does not fit.*\(4, 4\)"),
    "conv_other_channels": (
        twice(lambda: layers.Conv2D(2, 3), (4, 4, 1), (4, 4, 2)), ValueError, "Conv2D.*axis -1.*value 1.*4, 4, 2",
    ),
    "transposed_padding": (
        lambda: layers.Conv2DTranspose(3, 3, strides=2, output_padding=2, name="c"),
        ValueError, r"Layer c: Stride \(2, 2\) must be greater than output padding \(2, 2\)",
    ),
    "transposed_negative": (
        lambda: layers.Conv2DTranspose(3, 3, output_padding=-1),
        ValueError, "Conv2DTranspose.*output_padding.*-1.*least 0",
    ),
    "transposed_rank": (
        lambda: layers.Conv3DTranspose(3, 3, output_padding=(1, 1)), ValueError, "Conv3DTranspose.*3 integers.*1, 1",
    ),
    "separable_multiplier": (
        lambda: layers.SeparableConv2D(3, 3, depth_multiplier=0), ValueError, "SeparableConv2D.*depth_multiplier.*0",
    ),
    "separable_initializer": (
        lambda: layers.SeparableConv1D(3, 3, pointwise_initializer="x"), ValueError, "SeparableConv1D.*initializer.*x",
    ),
    "depthwise_multiplier": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=-1), ValueError, "DepthwiseConv2D.*depth_multiplier.*-1",
    ),
    "depthwise_channels": (
        on(lambda: layers.DepthwiseConv2D(3, name="c"), (None, 4, 4, None)), ValueError, "Layer c: .*channel.*None",
    ),
    "local_same": (
        lambda: layers.LocallyConnected1D(2, 3, padding="same"), ValueError, """LocallyConnected1D.*"valid".*'same'""",
    ),
    "local_unknown": (
        on(lambda: layers.LocallyConnected2D(2, 3), (None, None, 4, 1)),
        ValueError, "LocallyConnected2D.*defined.*None",
    ),
    "local_window": (
        on(lambda: layers.LocallyConnected1D(2, 5, name="c"), (None, 4, 1)), ValueError, r"Layer c: .*\(5,\).*\(4,\)",
    ),
    "local_filters": (lambda: layers.LocallyConnected2D(0, 3), ValueError, "LocallyConnected2D.*filters.*0"),
    "local_kernel": (
        lambda: layers.LocallyConnected1D(2, 0), ValueError, "LocallyConnected1D.*kernel_size.*0.*least 1",
    ),
    "local_layout": (
        lambda: layers.LocallyConnected1D(2, 3, data_format="x"), ValueError, "LocallyConnected1D.*data_format.*x",
    ),
}

SPACE = {
    "pool_window": (
        on(lambda: layers.MaxPooling2D(5), image), ValueError, r"MaxPooling2D.*\(5, 5\) does not fit.*\(4, 4\)",
    ),
    "pool_rank": (on(lambda: layers.MaxPooling1D(name="p"), (None, 4)), ValueError, "layer p: expected ndim=3.*ndim=2"),
    "pool_size": (lambda: layers.AveragePooling2D(0), ValueError, "AveragePooling2D.*pool_size.*0.*at least 1"),
    "pool_strides": (lambda: layers.MaxPooling3D(2, strides=0), ValueError, "MaxPooling3D.*strides.*0.*at least 1"),
    "pool_tuple": (lambda: layers.MaxPooling2D((2, 2, 2)), ValueError, r"MaxPooling2D.*2 integers.*\(2, 2, 2\)"),
    "pool_padding": (lambda: layers.MaxPooling2D(2, padding="full"), ValueError, 'MaxPooling2D.*padding.*"same".*full'),
    "pool_causal": (
        lambda: layers.AveragePooling1D(2, padding="causal", name="p"), ValueError, "Layer p: .*causal.*'same'",
    ),
    "pool_layout": (lambda: layers.MaxPooling2D(data_format="x"), ValueError, "MaxPooling2D.*channels_last.*x"),
    "global_rank": (
        on(lambda: layers.GlobalMaxPooling2D(name="p"), (None, 4, 4)), ValueError, "layer p: expected ndim=4.*ndim=3",
    ),
    "global_layout": (
        lambda: layers.GlobalAveragePooling3D(data_format="x"), ValueError, "GlobalAveragePooling3D.*channels_last.*x",
    ),
    "crop_negative": (lambda: layers.Cropping1D(-1), ValueError, "Cropping1D.*cropping.*-1.*at least 0"),
    "crop_negative_side": (
        lambda: layers.Cropping2D(((0, -1), (0, 0))), ValueError, "Cropping2D.*cropping.*-1.*least 0",
    ),
    "crop_too_much": (
        on(lambda: layers.Cropping1D(3), (None, 5, 1)), ValueError, r"Cropping1D.*\(3, 3\).*more than.*5",
    ),
    "crop_tuple": (lambda: layers.Cropping2D((1, 2, 3)), ValueError, "Cropping2D.*two elements.*1, 2, 3"),
    "crop_float": (lambda: layers.Cropping3D(1.5), ValueError, "Cropping3D.*3 ints.*1.5"),
    "pad_negative": (lambda: layers.ZeroPadding2D(-1), ValueError, "ZeroPadding2D.*padding.*-1.*at least 0"),
    "pad_tuple": (lambda: layers.ZeroPadding1D((1, 2, 3)), ValueError, "ZeroPadding1D.*2 integers.*1, 2, 3"),
    "pad_rank": (on(lambda: layers.ZeroPadding3D(name="z"), image), ValueError, "layer z: expected ndim=5.*ndim=4"),
    "pad_layout": (lambda: layers.ZeroPadding3D(1, "x"), ValueError, "ZeroPadding3D.*channels_last.*x"),
    "upsampling_zero": (lambda: layers.UpSampling2D((2, 0)), ValueError, "UpSampling2D.*size.*2, 0.*at least 1"),
    "upsampling_float": (lambda: layers.UpSampling3D(1.5), ValueError, "UpSampling3D.*3 integers.*1.5"),
    "upsampling_rank": (
        on(lambda: layers.UpSampling1D(name="u"), volume), ValueError, "layer u: expected ndim=3.*ndim=5",
    ),
    "upsampling_how": (
        lambda: layers.UpSampling2D(interpolation="cubic", name="u"), ValueError, 'Layer u: .*"bilinear".*cubic',
    ),
}

MERGE = {
    "merge_one": (on(lambda: layers.Add(), (None, 3)), ValueError, "`Add` layer.*at least 2.*None, 3"),
    "merge_list_of_one": (
        lambda: layers.Average()([Input(shape=(3,))]), ValueError, "`Average` layer.*at least 2.*None, 3",
    ),
    "merge_shapes": (on(lambda: layers.Add(), (None, 3), (None, 4)), ValueError, r"Add.*broadcast.*\(3,\).*\(4,\)"),
    "merge_inner_shapes": (
        on(lambda: layers.Multiply(), (None, 3, 2), (None, 4, 2)),
        ValueError, r"Multiply.*broadcast.*\(3, 2\).*\(4, 2\)",
    ),
    "merge_function": (
        lambda: layers.maximum([Input(shape=(3,)), Input(shape=(4,))]), ValueError, r"Maximum.*broadcast.*\(3,\)",
    ),
    "merge_batches": (
        on(lambda: layers.Minimum(name="m"), (2, 3), (3, 3)), ValueError, r"Layer m: .*batch sizes.*\(2, 3\), \(3, 3\)",
    ),
    "merge_arrays": (
        lambda: layers.Maximum(name="m")([ones((2, 3))] * 2), ValueError, "Layer m .*symbolic tensor.*ndarray",
    ),
    "subtract_three": (on(lambda: layers.Subtract(), *[(None, 3)] * 3), ValueError, "`Subtract` layer.*exactly 2.*3"),
    "concatenate_axis": (
        on(lambda: layers.Concatenate(3), (None, 3), (None, 4)), ValueError, "Concatenate.*no axis 3.*None, 3",
    ),
    "concatenate_shapes": (
        on(lambda: layers.Concatenate(), (None, 3, 2), (None, 4, 2)), ValueError, "`Concatenate` layer.*matching.*3, 2",
    ),
    "concatenate_ranks": (
        on(lambda: layers.Concatenate(), (None, 3, 4), (None, 4)), ValueError, "`Concatenate` layer.*matching.*None, 4",
    ),
    "concatenate_float": (lambda: layers.Concatenate(axis=1.5), TypeError, "Concatenate.*axis.*integer.*1.5"),
    "dot_type": (lambda: layers.Dot("1"), TypeError, "Dot.*axes.*integer.*'1'"),
    "dot_three_axes": (lambda: layers.Dot((1, 2, 3)), ValueError, "Dot.*axes.*two integers.*1, 2, 3"),
    "dot_float": (lambda: layers.Dot((1, 1.5)), ValueError, "Dot.*axes.*two integers.*1.5"),
    "dot_sizes": (on(lambda: layers.Dot(1), (None, 3), (None, 4)), ValueError, "Dot.*3 != 4.*axes=1"),
    "dot_three": (on(lambda: layers.Dot(1), *[(None, 3)] * 3), ValueError, "`Dot` layer.*2 inputs.*3"),
    "dot_no_axis": (
        on(lambda: layers.Dot(5), (None, 3), (None, 3)), ValueError, "Dot.*axes=5.*axis of the input.*None, 3",
    ),
    "dot_batch": (on(lambda: layers.Dot(0), (2, 3), (2, 3)), ValueError, "Dot.*axes=0.*not 0"),
}

RECURRENT = {
    "cell_layer": (lambda: layers.RNN(layers.Dense(3)), ValueError, "RNN.*cell.*state_size.*Dense"),
    "cell_stateless": (lambda: layers.RNN(Stateless()), ValueError, "RNN.*cell.*state_size.*Stateless"),
    "cell_none": (lambda: layers.RNN(None), ValueError, "RNN.*cell.*call.*None"),
    "cells_mixed": (
        lambda: layers.RNN([layers.LSTMCell(2), layers.Dense(3)]), ValueError, "StackedRNNCells.*state_size.*Dense",
    ),
    "cells_empty": (lambda: layers.RNN([]), ValueError, r"StackedRNNCells.*at least one cell.*\[\]"),
    "cells_single": (lambda: layers.StackedRNNCells(layers.GRUCell(3)), ValueError, "StackedRNNCells.*list.*GRUCell"),
    "recurrent_rank": (on(lambda: layers.LSTM(3, name="r"), (None, 4)), ValueError, "layer r: expected ndim=3.*ndim=2"),
    "recurrent_size": (on(lambda: layers.LSTM(3), (None, 4, None)), ValueError, "LSTM.*last axis.*None, None"),
    "recurrent_units": (lambda: layers.GRU("3"), ValueError, "GRU.*units.*positive integer.*'3'"),
    "recurrent_zero": (lambda: layers.SimpleRNN(0), ValueError, "SimpleRNN.*units.*positive integer.*0"),
    "recurrent_activation": (lambda: layers.LSTM(3, activation="tahn"), ValueError, "LSTM.*activation.*tahn"),
    "recurrent_initializer": (
        lambda: layers.GRU(3, recurrent_initializer="orth"), ValueError, "GRU.*initializer.*orth",
    ),
    "recurrent_dropout": (lambda: layers.LSTM(3, dropout="half"), TypeError, "LSTM.*str"),
    "implementation": (lambda: layers.GRU(3, implementation=5), ValueError, "GRU.*implementation.*1 or 2.*5"),
    "recurrent_keyword": (lambda: layers.LSTM(3, return_sequence=True), TypeError, "'return_sequence'.*LSTM"),
    "states_count": (with_states(lambda: layers.LSTM(3, name="r"), 3), ValueError, r"Layer r: .*state_size.*\(3, 3\)"),
    "states_size": (with_states(lambda: layers.GRU(3, name="r"), 5), ValueError, r"Layer r: .*\(None, 5\).*is 3"),
    "states_mixed": (
        lambda: layers.LSTM(3, name="r")(Input(shape=(4, 2)), initial_state=[Input(shape=(3,)), ones((2, 3))]),
        ValueError, "Layer r: .*mix of Keras tensors and non-Keras tensors",
    ),
    "stateful_batch": (
        on(lambda: layers.LSTM(3, stateful=True, name="r"), (None, 4, 2)),
        ValueError, "Layer r: .*batch size.*None, 4, 2",
    ),
    "unroll": (
        on(lambda: layers.LSTM(3, unroll=True, name="r"), (None, None, 2)), ValueError, "Layer r: .*unroll.*None",
    ),
    "constants": (
        lambda: layers.LSTM(3, name="r")(Input(shape=(4, 2)), constants=[Input(shape=(3,))]),
        ValueError, "Layer r: .*not support constants",
    ),
    "reset_stateless": (lambda: layers.LSTM(3, name="r").reset_states(), AttributeError, "must be stateful. Layer r"),
    "reset_unbuilt": (
        lambda: layers.GRU(3, stateful=True, name="r").reset_states(), ValueError, "Layer r has no states",
    ),
    "reset_count": (
        reset(lambda: layers.LSTM(3, stateful=True, name="r"), [ones((2, 3))]),
        ValueError, "Layer r expects 2 states.*1",
    ),
    "reset_shape": (
        reset(lambda: layers.GRU(3, stateful=True, name="r"), ones((3, 3))),
        ValueError, r"layer r: .*\(2, 3\).*\(3, 3\)",
    ),
    "conv_lstm_filters": (lambda: layers.ConvLSTM2D(0, 3), ValueError, "ConvLSTM2D.*filters.*positive integer.*0"),
    "conv_lstm_rank": (
        on(lambda: layers.ConvLSTM2D(2, 3, name="r"), image), ValueError, "layer r: expected ndim=5.*ndim=4",
    ),
    "conv_lstm_window": (
        on(lambda: layers.ConvLSTM2D(2, 5), volume), ValueError, r"ConvLSTM2D.*\(5, 5\) does not fit.*\(4, 4\)",
    ),
    "conv_lstm_unroll": (lambda: layers.ConvLSTM2D(2, 3, unroll=True), TypeError, "ConvLSTM2D.*Unrolling"),
    "conv_lstm_stateful": (
        on(lambda: layers.ConvLSTM2D(2, 3, stateful=True, name="r"), volume), ValueError, "Layer r: .*batch size.*None",
    ),
    "conv_rnn_list": (
        lambda: layers.ConvRNN2D([layers.ConvLSTM2DCell(2, 3)]), TypeError, "ConvRNN2D.*not possible.*1 cells",
    ),
    "cudnn_dropout": (lambda: layers.CuDNNLSTM(3, dropout=0.5), TypeError, "'dropout'.*CuDNNLSTM"),
    "cudnn_rank": (on(lambda: layers.CuDNNGRU(3, name="r"), (None, 4)), ValueError, "layer r: expected ndim=3.*ndim=2"),
    "cudnn_mask": (masked(lambda: layers.CuDNNGRU(3)), ValueError, "CuDNNGRU.*Masking is not supported"),
}

WRAPPERS = {
    "time_rank": (
        on(lambda: layers.TimeDistributed(layers.Dense(3), name="t"), (None, 4)),
        ValueError, "layer t: .*min_ndim=3.*2",
    ),
    "time_function": (lambda: layers.TimeDistributed(abs), ValueError, "TimeDistributed wraps a layer.*abs"),
    "time_class": (
        lambda: layers.TimeDistributed(layers.Dense), ValueError, "TimeDistributed wraps a layer.*class.*Dense",
    ),
    "time_inner_rank": (
        on(lambda: layers.TimeDistributed(layers.Conv2D(2, 3)), (None, 4, 5)),
        ValueError, "TimeDistributed.*ndim=4.*ndim=2",
    ),
    "both_ways_merge": (
        lambda: layers.Bidirectional(layers.LSTM(3), merge_mode="max"),
        ValueError, """Bidirectional.*"concat".*'max'""",
    ),
    "both_ways_merge_list": (
        lambda: layers.Bidirectional(layers.LSTM(3), merge_mode=["sum"]), ValueError, """Bidirectional.*"sum".*'sum'""",
    ),
    "both_ways_dense": (
        lambda: layers.Bidirectional(layers.Dense(3)), ValueError, "Bidirectional.*recurrent layer.*Dense",
    ),
    "both_ways_weights": (
        on(lambda: layers.Bidirectional(layers.LSTM(3), weights=[ones(3)], name="b"), (None, 4, 2)),
        ValueError, '"b".*length 1.*6 weights',
    ),
    "both_ways_odd_states": (
        with_states(lambda: layers.Bidirectional(layers.LSTM(3), name="b"), 3, 3, 3),
        ValueError, "Layer b: .*states of",
    ),
    "both_ways_states": (
        with_states(lambda: layers.Bidirectional(layers.LSTM(3, name="r")), 3, 3), ValueError, r"forward_r: .*\(3, 3\)",
    ),
    "both_ways_rank": (
        on(lambda: layers.Bidirectional(layers.LSTM(3, name="r")), (None, 4)),
        ValueError, "forward_r: expected ndim=3.*2",
    ),
    "wrapper": (lambda: layers.Wrapper(3), ValueError, "Wrapper wraps a layer.*3"),
}
# fmt: on

FAMILIES = (CORE, NOISE, ACTIVATIONS, NORMALIZATION, CONVOLUTION, SPACE, MERGE, RECURRENT, WRAPPERS)
MISTAKES = {name: mistake for family in FAMILIES for name, mistake in family.items()}


def test_the_table_is_whole():
    assert len(MISTAKES) == sum(map(len, FAMILIES)) >= 80


@pytest.mark.parametrize(("call", "error", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()
