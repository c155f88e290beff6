"""Which form of a kernel a program gets: by what it is compiled for, and by whether it is differentiated.

What is fast on a CPU is slow elsewhere, and what is fast with a gradient may be slow without. Neither is known while a
function is traced: the platform is settled when the program is compiled (or exported, for another machine), and whether
there is a gradient when it is transformed. So every form is offered, and JAX takes the one that fits.
"""

import functools
from collections.abc import Callable, Hashable

import jax
from jax import lax
from jax.custom_derivatives import SymbolicZero

__all__ = ["offer"]


def offer(
    general: Callable,
    *arrays: jax.Array,
    cpu: Callable | None = None,
    cpu_gradient: Callable | None = None,
    **options: Hashable,
) -> jax.Array:
    """general(*arrays, **options), computed in the form that is fastest where and how it runs.

    Arguments:
        general: the form for any device, the only one where a size of the arrays is not known.
        arrays: what is differentiated.
        cpu: the form in programs for a CPU; without it `general`.
        cpu_gradient: the form in programs for a CPU that differentiate it; without it `cpu`.
        options: the other arguments of every form. Forms are functions of a module: equal calls are traced once.
    """
    cpu = cpu or general
    cpu_gradient = cpu_gradient or cpu
    known = all(isinstance(size, int) for array in arrays for size in array.shape)
    if not known or cpu is general is cpu_gradient:
        return general(*arrays, **options)
    return _offered((general, cpu, cpu_gradient), tuple(sorted(options.items())), *arrays)


@functools.cache
def _bound(form, options):
    return functools.partial(form, **dict(options))


@functools.cache
def _derivative(form, options, moving):
    """A function of arrays and tangents of those at the places `moving`: what `form` gives, and its tangent."""

    def function(arrays, tangents):
        def of_moving(*values):
            values = dict(zip(moving, values, strict=True))
            return form(*(values.get(place, array) for place, array in enumerate(arrays)), **dict(options))

        return jax.jvp(of_moving, [arrays[place] for place in moving], tangents)

    return function


def _by_platform(general, cpu, *arrays):
    return general(*arrays) if cpu is general else lax.platform_dependent(*arrays, cpu=cpu, default=general)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _offered(forms, options, *arrays):
    general, cpu, _ = forms
    return _by_platform(_bound(general, options), _bound(cpu, options), *arrays)


def _offered_jvp(forms, options, arrays, tangents):
    general, _, cpu_gradient = forms
    moving = tuple(place for place, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero))
    general, cpu = (_derivative(form, options, moving) for form in (general, cpu_gradient))
    return _by_platform(general, cpu, list(arrays), [tangents[place] for place in moving])


_offered.defjvp(_offered_jvp, symbolic_zeros=True)
