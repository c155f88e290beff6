"""Mapping a step over devices: every map, replicate and shard stands here and nowhere else.

A batch is cut into equal consecutive parts, one per device; the state is one copy, not stacked. `over_devices` is the
one place that names the mapping primitive.
"""

import functools

import jax
import numpy as np

from jkeras import batch

__all__ = ["cut", "everywhere", "how_many", "on_devices", "one_copy", "over_devices", "resolve"]


def resolve(devices) -> list | None:
    """The devices that `devices` means: None or 1 is the default device; a number is the first so many; or a list.

    Raises:
        ValueError: if there are not as many.
    """
    if devices is None:
        return None
    available = jax.devices()
    if isinstance(devices, int):
        if not 1 <= devices <= len(available):
            raise ValueError(
                f"devices={devices}: this process has {len(available)} device(s): {available}. Virtual CPU devices are "
                "made with XLA_FLAGS=--xla_force_host_platform_device_count=N (and NPROC=8) in the environment."
            )
        devices = available[:devices]
    devices = list(devices)
    if not devices:
        raise ValueError("devices=[]: at least one device is needed.")
    return devices if len(devices) > 1 else None


def how_many(devices, size: int) -> int:
    """On how many of `devices` a batch of `size` examples runs: the most that divide it, so that nothing is padded."""
    if devices is None:
        return 1
    return next(count for count in range(min(len(devices), size), 0, -1) if size % count == 0)


def over_devices(function, devices, split, *, joined=False, donate=(0,)):
    """`function` mapped over `devices` under the axis named "batch".

    Arguments:
        function: a pure function.
        devices: a list of at least two.
        split: for each argument, whether it is cut over the devices (its axis 0 counts them) or the same on all.
        joined: whether the results are the devices' parts, counted by axis 0; else they are the same on all devices.
        donate: the arguments whose memory the results may take over.
    """

    @functools.wraps(function)
    def part(*arguments):
        with batch.mapped(len(devices)):
            return function(*arguments)

    return jax.pmap(
        part,
        axis_name=batch.AXIS,
        in_axes=tuple(0 if cut else None for cut in split),
        out_axes=0 if joined else None,
        devices=devices,
        donate_argnums=donate,
    )


def on_devices(function, devices, count: int, split, **options):
    """`function` compiled for `count` of `devices`: mapped, or for one device a plain jit.

    The names in its results are kept out of the program: else a model that is built again, with other names for its
    layers, would not find what was compiled before.
    """
    structure: list = []

    @functools.wraps(function)
    def nameless(*arguments):
        leaves, treedef = jax.tree.flatten(function(*arguments))
        structure[:] = [treedef]
        return leaves

    if count == 1:
        compiled = jax.jit(nameless, donate_argnums=options.get("donate", (0,)))
    else:
        compiled = over_devices(nameless, devices[:count], split, **options)

    def named(*arguments):
        leaves = compiled(*arguments)
        return structure[0].unflatten(leaves)

    return named


def everywhere(tree, devices, count: int):
    """`tree` with one copy of every array on each of `count` devices, in one array."""
    if count == 1:
        return one_copy(tree)
    mesh = jax.sharding.Mesh(np.asarray(devices[:count]), (batch.AXIS,))
    return jax.device_put(one_copy(tree), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def one_copy(tree):
    """`tree` with arrays that are the same on several devices as the first device's copy. Nothing is moved."""

    def first(array):
        if isinstance(array, jax.Array) and len(array.sharding.device_set) > 1:
            return array.addressable_shards[0].data
        return array

    return jax.tree.map(first, tree)


def cut(tree, count: int, axis: int = 0):
    """Every array of `tree` with its `axis` of size n cut into (count, n / count), the count moved to the front."""
    if count == 1:
        return tree

    def one(array):
        shape = array.shape
        array = array.reshape(*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :])
        return array.swapaxes(0, axis) if axis == 1 else array

    return jax.tree.map(one, tree)
