"""Mappings: where a run's state and data live, how its programs are compiled, how results come back.

    OneDevice()                       one device
    Pmapped(devices)                  jax.pmap: every device has a copy of the state, and an equal part of each batch
    Meshed(devices, axes=, rules=)    jax.jit over a mesh: batches are sharded, and by rules weights too

Every placement, cut and map stands here: nothing else asks how many devices there are. A program is a function
`(moving, still, ...) -> moving, results`; the memory of `moving` is taken over by what comes out.
"""

import fnmatch
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jkeras import batch, trees
from jkeras.train.compiling import options

__all__ = ["Meshed", "OneDevice", "Pmapped", "as_mapping", "copied", "whole"]


def as_mapping(devices: Any = None) -> "OneDevice":
    """The mapping that `compile(devices=)` means: None or 1 is one device; a number the first so many; or a list.

    Raises:
        ValueError: if there are not as many.
    """
    if isinstance(devices, OneDevice):
        return devices
    found = None if devices is None else _devices(devices)
    return OneDevice() if found is None or len(found) == 1 else Pmapped(found)


def _devices(devices) -> list:
    available = jax.devices()
    if isinstance(devices, int):
        if not 1 <= devices <= len(available):
            raise ValueError(
                f"devices={devices}: this process has {len(available)} device(s): {available}. Virtual CPU devices are "
                "made with XLA_FLAGS=--xla_force_host_platform_device_count=N (and NPROC=8) in the environment."
            )
        devices = available[:devices]
    if not list(devices):
        raise ValueError("devices=[]: at least one device is needed.")
    return list(devices)


def whole(tree: Any) -> Any:
    """`tree` with arrays that lie on several devices as one: where all have the same, the first device's copy, without
    moving anything; what is really sharded is put together on the host."""

    def one(array):
        if not isinstance(array, jax.Array) or len(array.sharding.device_set) == 1:
            return array
        return array.addressable_shards[0].data if array.is_fully_replicated else np.asarray(array)

    return jax.tree.map(one, tree)


def copied(tree: Any) -> Any:
    """`tree` as arrays of JAX in memory of their own."""
    return jax.device_put(tree, may_alias=False)


class OneDevice:
    """Everything on the default device."""

    #: Whether batches that come one by one may be laid side by side, for one dispatch.
    groups = True

    def for_batch(self, size: int) -> "OneDevice":
        """The mapping that runs a batch of `size` examples: on as many of the devices as divide it, so that nothing is
        padded."""
        return self

    @property
    def platform(self) -> str:
        """What programs are compiled for: 'cpu', 'gpu', ..."""
        return jax.default_backend()

    def place(self, state: Any) -> Any:
        """A `TrainState` (or a part of one) copied to where programs want it: nobody else holds these arrays."""
        return copied(whole(state))

    def near(self, tree: Any) -> Any:
        """`tree`, parts of a state, where programs of this mapping want them; moved only if they are elsewhere."""
        return tree

    def everywhere(self, data: Any) -> Any:
        """Data that every device reads whole."""
        return data

    def cut(self, tree: Any, axis: int = 0) -> Any:
        """Arrays of a batch, whose `axis` counts its examples, as programs take them."""
        return tree

    def like(self, value: Any, old: Any) -> Any:
        """`value` as a copy that can stand where `old` stands in the state."""
        value = np.asarray(value, old.dtype) if not isinstance(value, jax.Array) else whole(value).astype(old.dtype)
        return copied(value)

    def joined(self, outputs: list) -> list:
        """The parts of the outputs of a batch as one array each."""
        return outputs

    def compile(self, program: Callable, split: int, joined: bool = False) -> "Program":
        """`program` compiled.

        Arguments:
            program: `program(moving, still, *others) -> moving, results`.
            split: which argument holds examples, as `cut` gives them.
            joined: whether the results are of single examples, to be put together by `joined`; else of the batch.
        """

        def make(nameless, arguments):
            return jax.jit(nameless, donate_argnums=0, compiler_options=self._options(nameless, arguments))

        return Program(program, make)

    def _options(self, nameless, arguments):
        """What the compiler is told about a program."""
        return options(jax.make_jaxpr(nameless)(*arguments), self.platform)


class _First(OneDevice):
    """The first of several devices, for batches that no larger number of them divides."""

    groups = False

    def __init__(self, device):
        self.device = device

    @property
    def platform(self):
        return self.device.platform

    def near(self, tree):
        def moved(array):
            if not isinstance(array, jax.Array) or array.sharding.device_set == {self.device}:
                return array
            return jax.device_put(whole(array), self.device)

        return jax.tree.map(moved, tree)


class Pmapped(OneDevice):
    """`jax.pmap`: every device has a copy of the state and an equal, consecutive part of each batch. What reaches
    across examples is averaged over the devices, in one collective per type of numbers.

    Arguments:
        devices: a number of devices, or a list.

    Raises:
        ValueError: if there are not as many.
    """

    groups = False

    def __init__(self, devices: int | Sequence):
        self.devices = _devices(devices)
        self._mesh = Mesh(np.asarray(self.devices), (batch.AXIS,))
        self._smaller: dict = {}

    @property
    def platform(self):
        return self.devices[0].platform

    def for_batch(self, size: int):
        count = next(count for count in range(min(len(self.devices), size), 0, -1) if size % count == 0)
        if count == len(self.devices):
            return self
        if count not in self._smaller:
            self._smaller[count] = Pmapped(self.devices[:count]) if count > 1 else _First(self.devices[0])
        return self._smaller[count]

    @property
    def _sharding(self):
        return NamedSharding(self._mesh, PartitionSpec())

    def place(self, state: Any):
        return jax.device_put(whole(state), self._sharding, may_alias=False)

    def near(self, tree: Any):
        own, sharding = set(self.devices), self._sharding

        def moved(array):
            if isinstance(array, jax.Array) and array.sharding.device_set == own:
                return array
            return jax.device_put(whole(array), sharding)

        return jax.tree.map(moved, tree)

    def everywhere(self, data: Any):
        return jax.device_put(data, self._sharding)

    def like(self, value: Any, old: Any):
        return jax.device_put(super().like(value, old), old.sharding, may_alias=False)

    def cut(self, tree: Any, axis: int = 0):
        count = len(self.devices)

        def one(array):
            shape = array.shape
            array = array.reshape(*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :])
            return array.swapaxes(0, axis) if axis == 1 else array

        return jax.tree.map(one, tree)

    def joined(self, outputs: list):
        return [np.asarray(output).reshape(-1, *output.shape[2:]) for output in outputs]

    def compile(self, program: Callable, split: int, joined: bool = False):
        def make(nameless, arguments):
            @functools.wraps(nameless)
            def part(*arguments):
                with batch.mapped(len(self.devices)):
                    return nameless(*arguments)

            mapped = jax.pmap(
                part,
                axis_name=batch.AXIS,
                in_axes=tuple(0 if place == split else None for place in range(len(arguments))),
                out_axes=(None, 0 if joined else None),
                devices=self.devices,
                donate_argnums=0,
            )
            told = self._options(mapped, arguments)  # which `pmap` does not take
            return jax.jit(mapped, donate_argnums=0, compiler_options=told) if told else mapped

        return Program(program, make)


class Meshed(OneDevice):
    """`jax.jit` over a mesh: batches are sharded over its axis "batch", weights (and what the optimizer keeps for them)
    by rules; XLA puts in what devices tell each other.

    Arguments:
        devices: a number of devices, a list, or a `jax.sharding.Mesh` with an axis "batch".
        axes: dict name -> size of the axes of the mesh, as {"batch": 2, "model": 2}; all devices along "batch" unless
            given.
        rules: dict pattern -> `jax.sharding.PartitionSpec`. The first pattern that matches the path of a parameter, as
            "*/kernel" matches "dense_1/kernel", says along which axes it is split; others are the same on all devices.

    Raises:
        ValueError: if there are not as many devices, or a rule names an axis that is not there; when state is placed,
            if a rule matches no weight, or a weight cannot be split as its rule says.

    Example:
        >>> from jax.sharding import PartitionSpec
        >>> mapping = Meshed(1, axes={"batch": 1, "model": 1}, rules={"*/kernel": PartitionSpec(None, "model")})
        >>> mapping.mesh.axis_names
        ('batch', 'model')
    """

    groups = False

    def __init__(
        self,
        devices: int | Sequence | Mesh,
        *,
        axes: Mapping[str, int] | None = None,
        rules: Mapping[str, PartitionSpec] | None = None,
    ):
        if not isinstance(devices, Mesh):
            devices = _devices(devices)
            axes = dict(axes or {batch.AXIS: len(devices)})
            if np.prod(list(axes.values())) != len(devices):
                raise ValueError(f"Meshed: axes {axes} make a mesh of another size than the {len(devices)} devices.")
            devices = Mesh(np.asarray(devices).reshape(tuple(axes.values())), tuple(axes))
        self.mesh, self.rules = devices, dict(rules or {})
        if batch.AXIS not in self.mesh.axis_names:
            raise ValueError(f"Meshed: the mesh has the axes {self.mesh.axis_names}; one must be called 'batch'.")
        for pattern, spec in self.rules.items():
            for name in _axes_of(spec):
                if name not in self.mesh.axis_names:
                    raise ValueError(
                        f"Meshed: the rule {pattern!r}: {spec} names the axis {name!r}; the mesh has "
                        f"{self.mesh.axis_names}."
                    )
        self._parts = batch.AXIS
        self._undivided: Meshed | None = None

    @property
    def platform(self):
        return self.mesh.devices.flat[0].platform

    def for_batch(self, size: int):
        if self._parts is None or size % self.mesh.shape[batch.AXIS] == 0:
            return self
        if self._undivided is None:  # every device along "batch" computes the whole batch
            self._undivided = Meshed(self.mesh, rules=self.rules)
            self._undivided._parts = None
        return self._undivided

    def _sharding(self, *spec):
        return NamedSharding(self.mesh, PartitionSpec(*spec))

    def _shardings(self, state):
        """The sharding of every leaf of a `TrainState`, in the order of the leaves."""
        params = trees.merge(state.params, state.frozen)
        of_params = {path: self._rule(path, leaf) for path, leaf in trees.leaves(params)}
        order = [path for path, _ in sorted(trees.leaves(state.params))]
        found = []
        for place, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
            names = tuple(getattr(part, "key", getattr(part, "name", getattr(part, "idx", None))) for part in place)
            path = _param_of(names, leaf, of_params, params, order)
            found.append(self._sharding() if path is None else of_params[path])
        return found

    def _rule(self, path, leaf):
        name = "/".join(map(str, path))
        spec = next((spec for pattern, spec in self.rules.items() if fnmatch.fnmatchcase(name, pattern)), None)
        if spec is None:
            return self._sharding()
        sharding = NamedSharding(self.mesh, spec)
        try:
            sharding.shard_shape(np.shape(leaf))
        except ValueError as error:
            raise ValueError(f"Meshed: {name} of shape {np.shape(leaf)} cannot be split as {spec}: {error}") from None
        return sharding

    def place(self, state: Any):
        if hasattr(state, "params"):
            paths = ["/".join(path) for path, _ in trees.leaves(trees.merge(state.params, state.frozen))]
            for pattern in self.rules:
                if not fnmatch.filter(paths, pattern):
                    raise ValueError(
                        f"Meshed: the rule {pattern!r} matches no parameter. The parameters are {', '.join(paths)}."
                    )
        return self._mapped(state, lambda array, sharding: jax.device_put(whole(array), sharding, may_alias=False))

    def near(self, tree: Any):
        own = set(self.mesh.devices.flat)

        def moved(array, sharding):
            if isinstance(array, jax.Array) and array.sharding.device_set == own:
                return array
            return jax.device_put(whole(array), sharding)

        return self._mapped(tree, moved)

    def _mapped(self, tree, function):
        """`function(leaf, sharding)` of every leaf; the rules say how those of a whole state are split."""
        leaves, treedef = jax.tree.flatten(tree)
        shardings = self._shardings(tree) if hasattr(tree, "params") else [self._sharding()] * len(leaves)
        return treedef.unflatten(map(function, leaves, shardings))

    def everywhere(self, data: Any):
        return jax.device_put(data, self._sharding())

    def like(self, value: Any, old: Any):
        return jax.device_put(super().like(value, old), old.sharding, may_alias=False)

    def cut(self, tree: Any, axis: int = 0):
        return jax.device_put(tree, self._sharding(*[None] * axis, self._parts))

    def joined(self, outputs: list):
        return [np.asarray(output) for output in outputs]

    def compile(self, program: Callable, split: int, joined: bool = False):
        def make(nameless, arguments):
            kept = [leaf.sharding for leaf in jax.tree.leaves(arguments[0])]
            results = self._sharding(self._parts) if joined else self._sharding()
            told = self._options(nameless, [*arguments[:split], self._part(arguments[split]), *arguments[split + 1 :]])
            return jax.jit(nameless, donate_argnums=0, out_shardings=(kept, results), compiler_options=told)

        return Program(program, make)

    @staticmethod
    def _part(examples):
        """What each device has of examples that are cut."""
        return jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.sharding.shard_shape(array.shape), array.dtype), examples
        )


class Program:
    """A compiled program `(moving, still, ...) -> moving, results`.

    The names in its results are kept out of it: else a model that is built again, with other names for its layers,
    would not find what was compiled before.
    """

    def __init__(self, program: Callable, make: Callable):
        self._make, self._compiled = make, None

        @functools.wraps(program)
        def nameless(*arguments):
            results = [jax.tree.flatten(part) for part in program(*arguments)]
            self._structures = [structure for _, structure in results]
            return tuple(leaves for leaves, _ in results)

        self._nameless = nameless
        self._ready: set = set()

    def compiled(self, *arguments):
        """What runs for such arguments."""
        if self._compiled is None:
            self._compiled = self._make(self._nameless, arguments)
        return self._compiled

    def prepare(self, *arguments) -> None:
        """Compile what runs for such arguments, without running it."""
        self.compiled(*arguments).lower(*arguments).compile()

    def __call__(self, *arguments):
        results = self.compiled(*arguments)(*arguments)
        return tuple(map(jax.tree.unflatten, self._structures, results))


def _axes_of(spec):
    """The names of the axes in a `PartitionSpec`."""
    for entry in spec:
        yield from () if entry is None else entry if isinstance(entry, tuple) else (entry,)


def _param_of(names, leaf, of_params, params, order):
    """The path of the parameter that a leaf of the state is, or is kept for: a slot stands in a tree like that of the
    parameters, or in a list in their order."""
    for length in range(len(names), 0, -1):
        path = names[-length:]
        if path in of_params:
            return path if np.shape(trees.get(params, path)) == np.shape(leaf) else None
    numbers = [part for part in names if isinstance(part, int)]
    if names[:1] == ("opt_state",) and numbers and numbers[-1] < len(order):
        path = order[numbers[-1]]
        if np.shape(trees.get(params, path)) == np.shape(leaf):
            return path
    return None
