"""The optimizers of Keras 2.2.4.

In the formulas g is the gradient, t = 1, 2, ... the number of the update, and lr the learning rate after decay:
lr / (1 + decay * (t - 1)). As in Keras 2.2.4 `decay` has no effect if it was 0 when the optimizer was made.
"""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

from jkeras.optimizers.base import Optimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Nadam", "RMSprop"]


class SGD(Optimizer):
    """Gradient descent: v = momentum * v - lr * g; the update is v, with Nesterov momentum momentum * v - lr * g.

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        momentum: how much of the last update is kept.
        nesterov: whether to look ahead.

    Reference: Sutskever et al., On the importance of initialization and momentum in deep learning, 2013.
    """

    slot_names = ("v",)

    def __init__(
        self, lr: float = 0.01, momentum: float = 0.0, decay: float = 0.0, nesterov: bool = False, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self._keep(lr=lr, momentum=momentum, decay=decay)
        self.nesterov = nesterov

    def rule(self, now: SimpleNamespace, g: jax.Array, v: jax.Array) -> tuple:
        v = now.momentum * v - now.rate * g
        return (now.momentum * v - now.rate * g if self.nesterov else v), v


class RMSprop(Optimizer):
    """a = rho * a + (1 - rho) * g^2; the update is -lr * g / (sqrt(a) + epsilon).

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        rho: how much of the running mean of squares is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Hinton, Neural Networks for Machine Learning, lecture 6, 2012.
    """

    slot_names = ("a",)
    saves_iterations = False

    def __init__(
        self, lr: float = 0.001, rho: float = 0.9, epsilon: float | None = None, decay: float = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, rho=rho, decay=decay)

    def rule(self, now: SimpleNamespace, g: jax.Array, a: jax.Array) -> tuple:
        a = now.rho * a + (1.0 - now.rho) * jnp.square(g)
        return -now.rate * g / (jnp.sqrt(a) + self.epsilon), a


class Adagrad(Optimizer):
    """a = a + g^2; the update is -lr * g / (sqrt(a) + epsilon).

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Duchi et al., Adaptive Subgradient Methods for Online Learning and Stochastic Optimization, 2011.
    """

    slot_names = ("a",)
    saves_iterations = False

    def __init__(self, lr: float = 0.01, epsilon: float | None = None, decay: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, decay=decay)

    def rule(self, now: SimpleNamespace, g: jax.Array, a: jax.Array) -> tuple:
        a = a + jnp.square(g)
        return -now.rate * g / (jnp.sqrt(a) + self.epsilon), a


class Adadelta(Optimizer):
    """a = rho * a + (1 - rho) * g^2; u = g * sqrt(d + epsilon) / sqrt(a + epsilon) with the old d;
    d = rho * d + (1 - rho) * u^2; the update is -lr * u.

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        rho: how much of the running means of squares is kept; fixed once compiled.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Zeiler, ADADELTA: An Adaptive Learning Rate Method, arXiv:1212.5701.
    """

    slot_names = ("a", "d")
    saves_iterations = False

    def __init__(
        self, lr: float = 1.0, rho: float = 0.95, epsilon: float | None = None, decay: float = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, decay=decay)
        self.rho = rho

    def rule(self, now: SimpleNamespace, g: jax.Array, a: jax.Array, d: jax.Array) -> tuple:
        a = self.rho * a + (1.0 - self.rho) * jnp.square(g)
        u = g * jnp.sqrt(d + self.epsilon) / jnp.sqrt(a + self.epsilon)
        return -now.rate * u, a, self.rho * d + (1.0 - self.rho) * jnp.square(u)


class Adam(Optimizer):
    """m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g^2; the update is
    -lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon); AMSGrad takes the largest v so far for v.

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        beta_1, beta_2: how much of the running means of g and of g^2 is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.
        amsgrad: whether to never let v fall.

    Reference: Kingma, Ba, arXiv:1412.6980; Reddi et al., On the Convergence of Adam and Beyond, 2018.
    """

    slot_names = ("m", "v", "vhat")

    def __init__(
        self, lr: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = None,
        decay: float = 0.0, amsgrad: bool = False, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, beta_1=beta_1, beta_2=beta_2, decay=decay)
        self.amsgrad = amsgrad

    def slot(self, name: str, leaf: Any, shape: tuple | None = None) -> Any:
        # Files of Keras hold one zero per weight where AMSGrad would have its maximum.
        return super().slot(name, leaf, (1,) if name == "vhat" and not self.amsgrad else shape)

    def prepare(self, now: SimpleNamespace) -> None:
        now.rate = now.rate * (jnp.sqrt(1.0 - now.beta_2**now.t) / (1.0 - now.beta_1**now.t))

    def rule(self, now: SimpleNamespace, g: jax.Array, m: jax.Array, v: jax.Array, vhat: jax.Array) -> tuple:
        m = now.beta_1 * m + (1.0 - now.beta_1) * g
        v = now.beta_2 * v + (1.0 - now.beta_2) * jnp.square(g)
        vhat = jnp.maximum(vhat, v) if self.amsgrad else vhat
        return -now.rate * m / (jnp.sqrt(vhat if self.amsgrad else v) + self.epsilon), m, v, vhat


class Adamax(Optimizer):
    """m = beta_1 * m + (1 - beta_1) * g; u = max(beta_2 * u, |g|);
    the update is -lr / (1 - beta_1^t) * m / (u + epsilon).

    Arguments:
        lr, decay: learning rate, and how fast it falls.
        beta_1, beta_2: how much of the running mean of g and of the largest |g| is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.

    Reference: Kingma, Ba, Adam: A Method for Stochastic Optimization, section 7, arXiv:1412.6980.
    """

    slot_names = ("m", "u")

    def __init__(
        self, lr: float = 0.002, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = None,
        decay: float = 0.0, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, beta_1=beta_1, beta_2=beta_2, decay=decay)

    def prepare(self, now: SimpleNamespace) -> None:
        now.rate = now.rate / (1.0 - now.beta_1**now.t)

    def rule(self, now: SimpleNamespace, g: jax.Array, m: jax.Array, u: jax.Array) -> tuple:
        m = now.beta_1 * m + (1.0 - now.beta_1) * g
        u = jnp.maximum(now.beta_2 * u, jnp.abs(g))
        return -now.rate * m / (u + self.epsilon), m, u


class Nadam(Optimizer):
    """Adam with Nesterov momentum: with m and v as in Adam, mu(t) = beta_1 * (1 - 0.96^(t * schedule_decay) / 2) and
    M = mu(1) * ... * mu(t), the update is -lr / (sqrt(v / (1 - beta_2^t)) + epsilon)
    * ((1 - mu(t)) * g / (1 - M) + mu(t+1) * m / (1 - M * mu(t+1))).

    Arguments:
        lr: learning rate.
        beta_1, beta_2: how much of the running means of g and of g^2 is kept.
        epsilon: keeps the quotient finite; None is `backend.epsilon()`.
        schedule_decay: how fast the momentum warms up; fixed once compiled.

    Reference: Dozat, Incorporating Nesterov Momentum into Adam, 2015.
    """

    slot_names = ("m", "v")
    first_scalars = {"m_schedule": 1.0}

    def __init__(
        self, lr: float = 0.002, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = None,
        schedule_decay: float = 0.004, **kwargs: Any,
    ):  # fmt: skip
        super().__init__(**kwargs)
        self._keep(epsilon, lr=lr, beta_1=beta_1, beta_2=beta_2)
        self.schedule_decay = schedule_decay

    def prepare(self, now: SimpleNamespace) -> None:
        now.mu, now.next_mu = (now.beta_1 * (1.0 - 0.5 * 0.96 ** (t * self.schedule_decay)) for t in (now.t, now.t + 1))
        now.m_schedule = now.m_schedule * now.mu
        now.v_scale = 1.0 - now.beta_2**now.t

    def rule(self, now: SimpleNamespace, g: jax.Array, m: jax.Array, v: jax.Array) -> tuple:
        m = now.beta_1 * m + (1.0 - now.beta_1) * g
        v = now.beta_2 * v + (1.0 - now.beta_2) * jnp.square(g)
        ahead = now.next_mu * (m / (1.0 - now.m_schedule * now.next_mu))
        ahead = (1.0 - now.mu) * (g / (1.0 - now.m_schedule)) + ahead
        return -now.rate * ahead / (jnp.sqrt(v / now.v_scale) + self.epsilon), m, v
