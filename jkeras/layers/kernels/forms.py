"""Which form of a kernel a program gets: by what it is compiled for, and by whether it is differentiated.

What is fast on a CPU is slow elsewhere, and what is fast with a gradient may be slow without. Neither is known while a
function is traced: the platform is settled when the program is compiled (or exported, for another machine), and whether
there is a gradient when it is transformed. So every form is offered, and JAX takes the one that fits.
"""

import functools
from collections.abc import Callable

import jax
from jax import lax
from jax.custom_derivatives import SymbolicZero

__all__ = ["offer"]


def offer(general: Callable, *arrays: jax.Array, cpu: Callable | None = None, cpu_gradient: Callable | None = None):
    """general(*arrays), computed in the form that is fastest where and how it runs.

    Arguments:
        general: the form for any device, the only one where a size of the arrays is not known.
        arrays: what all forms are functions of.
        cpu: the form in programs for a CPU; without it `general`.
        cpu_gradient: the form in programs for a CPU that differentiate it; without it `cpu`.
    """
    cpu = cpu or general
    cpu_gradient = cpu_gradient or cpu
    known = all(isinstance(size, int) for array in arrays for size in array.shape)
    if not known or cpu is general is cpu_gradient:
        return general(*arrays)
    return _offered((general, cpu, cpu_gradient), *arrays)


def _by_platform(general, cpu, *arrays):
    return general(*arrays) if cpu is general else lax.platform_dependent(*arrays, cpu=cpu, default=general)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _offered(forms, *arrays):
    general, cpu, _ = forms
    return _by_platform(general, cpu, *arrays)


def _offered_jvp(forms, arrays, tangents):
    general, _, cpu_gradient = forms
    moving = [place for place, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

    def derivative(form):
        """The outputs of `form` and their tangent, of the arrays and the tangents that are not zero."""

        def function(arrays, tangents):
            def of_moving(*values):
                return form(*(values[moving.index(at)] if at in moving else array for at, array in enumerate(arrays)))

            return jax.jvp(of_moving, [arrays[place] for place in moving], tangents)

        return function

    return _by_platform(derivative(general), derivative(cpu_gradient), arrays, [tangents[place] for place in moving])


_offered.defjvp(_offered_jvp, symbolic_zeros=True)
