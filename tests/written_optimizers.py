"""Optimizers written for Keras 2.2.4, and what they train: the text below the imports runs there unchanged."""

import numpy as np

from jkeras import backend as K
from jkeras import constraints, layers, models
from jkeras.optimizers import SGD, Adam, Optimizer


class WrittenAdam(Optimizer):
    """Adam by its formula, with a decay and amsgrad."""

    def __init__(self, lr=0.001, beta_1=0.9, beta_2=0.999, decay=0.0, amsgrad=False, **kwargs):
        super(WrittenAdam, self).__init__(**kwargs)  # noqa: UP008
        self.iterations = K.variable(0, dtype="int64", name="iterations")
        self.lr = K.variable(lr, name="lr")
        self.beta_1 = K.variable(beta_1, name="beta_1")
        self.beta_2 = K.variable(beta_2, name="beta_2")
        self.decay = K.variable(decay, name="decay")
        self.initial_decay = decay
        self.amsgrad = amsgrad

    def get_updates(self, loss, params):
        grads = self.get_gradients(loss, params)
        self.updates = [K.update_add(self.iterations, 1)]
        rate = self.lr
        if self.initial_decay > 0:
            rate = rate * (1.0 / (1.0 + self.decay * K.cast(self.iterations, K.dtype(self.decay))))
        t = K.cast(self.iterations, K.floatx()) + 1
        rate = rate * (K.sqrt(1.0 - K.pow(self.beta_2, t)) / (1.0 - K.pow(self.beta_1, t)))
        means = [K.zeros(K.int_shape(p), dtype=K.dtype(p)) for p in params]
        squares = [K.zeros(K.int_shape(p), dtype=K.dtype(p)) for p in params]
        largest = [K.zeros(K.int_shape(p) if self.amsgrad else 1, dtype=K.dtype(p)) for p in params]
        self.weights = [self.iterations] + means + squares + largest
        for p, g, m, v, top in zip(params, grads, means, squares, largest):  # noqa: B905
            new_m = (self.beta_1 * m) + (1.0 - self.beta_1) * g
            new_v = (self.beta_2 * v) + (1.0 - self.beta_2) * K.square(g)
            if self.amsgrad:
                new_top = K.maximum(top, new_v)
                self.updates.append(K.update(top, new_top))
            new_p = p - rate * new_m / (K.sqrt(new_top if self.amsgrad else new_v) + K.epsilon())
            self.updates.append(K.update(m, new_m))
            self.updates.append(K.update(v, new_v))
            if getattr(p, "constraint", None) is not None:
                new_p = p.constraint(new_p)
            self.updates.append(K.update(p, new_p))
        return self.updates

    def get_config(self):
        config = {name: float(K.get_value(getattr(self, name))) for name in ("lr", "beta_1", "beta_2", "decay")}
        config["amsgrad"] = self.amsgrad
        return dict(list(super(WrittenAdam, self).get_config().items()) + list(config.items()))  # noqa: UP008


class Multiplied(SGD):
    """SGD with a learning rate that depends on the name of the weight; what SGD made in its constructor is used."""

    def __init__(self, multipliers=None, **kwargs):
        super(Multiplied, self).__init__(**kwargs)  # noqa: UP008
        self.multipliers = multipliers or {}

    def get_updates(self, loss, params):
        grads = self.get_gradients(loss, params)
        self.updates = [K.update_add(self.iterations, 1)]
        lr = self.lr
        if self.initial_decay > 0:
            lr = lr * (1.0 / (1.0 + self.decay * K.cast(self.iterations, K.dtype(self.decay))))
        moments = [K.zeros(shape) for shape in [K.int_shape(p) for p in params]]
        self.weights = [self.iterations] + moments
        for p, g, m in zip(params, grads, moments):  # noqa: B905
            own = lr
            for text, factor in self.multipliers.items():
                if text in p.name:
                    own = own * factor
            v = self.momentum * m - own * g
            self.updates.append(K.update(m, v))
            new_p = p + self.momentum * v - own * g if self.nesterov else p + v
            if getattr(p, "constraint", None) is not None:
                new_p = p.constraint(new_p)
            self.updates.append(K.update(p, new_p))
        return self.updates

    def get_config(self):
        config = {"multipliers": self.multipliers}
        return dict(list(super(Multiplied, self).get_config().items()) + list(config.items()))  # noqa: UP008


class Accumulated(Optimizer):
    """Another optimizer, which makes a step for every so many batches, with the mean of their gradients."""

    def __init__(self, optimizer, every=2, **kwargs):
        super(Accumulated, self).__init__(**kwargs)  # noqa: UP008
        self.optimizer, self.every = optimizer, every
        self.iterations = K.variable(0, dtype="int64", name="iterations")
        self.due = K.equal((self.iterations + 1) % every, 0)
        self.lr = optimizer.lr
        optimizer.lr = K.switch(self.due, self.lr, 0.0)
        optimizer.get_gradients = lambda loss, params: self.mean_gradients

    def get_updates(self, loss, params):
        self.updates = [K.update_add(self.iterations, 1)]
        totals = [K.zeros(K.int_shape(p), dtype=K.dtype(p)) for p in params]
        self.mean_gradients = []
        for total, g in zip(totals, self.get_gradients(loss, params)):  # noqa: B905
            self.mean_gradients.append((total + g) / self.every)
            self.updates.append(K.update(total, K.switch(self.due, K.zeros_like(total), total + g)))
        self.updates.extend(self.optimizer.get_updates(loss, params)[1:])
        self.updates.append(K.update_add(self.optimizer.iterations, 1))
        self.weights = [self.iterations] + totals
        self.weights.extend(self.optimizer.weights)
        return self.updates


class Averaged(Optimizer):
    """SGD that every so many steps goes back half of the way to where it was; the first places are read by value."""

    def __init__(self, lr=0.2, every=3, **kwargs):
        super(Averaged, self).__init__(**kwargs)  # noqa: UP008
        self.iterations = K.variable(0, dtype="int64", name="iterations")
        self.lr = K.variable(lr, name="lr")
        self.every = every

    def get_updates(self, loss, params):
        slow = [K.variable(K.get_value(p)) for p in params]
        self.weights = [self.iterations] + slow
        self.updates = [K.update_add(self.iterations, 1)]
        due = K.cast(K.equal((self.iterations + 1) % self.every, 0), K.floatx())
        for p, g, s in zip(params, K.gradients(loss, params), slow):  # noqa: B905
            fast = p - self.lr * g
            new_s = due * (s + 0.5 * (fast - s)) + (1.0 - due) * s
            new_p = due * new_s + (1.0 - due) * fast
            if getattr(p, "constraint", None) is not None:
                new_p = p.constraint(new_p)
            self.updates.append(K.update(s, new_s))
            self.updates.append((p, new_p))
        return self.updates


class Penalized(Optimizer):
    """Bounded gradients of the loss and a penalty of its own; what goes on is written in all ways there are."""

    def __init__(self, lr=0.05, **kwargs):
        super(Penalized, self).__init__(**kwargs)  # noqa: UP008
        self.lr = K.variable(lr, name="lr")
        self.size = K.variable(1.0, name="size")

    def get_updates(self, loss, params):
        grads = self.get_gradients(loss * 2.0 + 0.1 * sum([K.sum(K.square(p)) for p in params]), params)
        size = sum([K.sum(K.abs(g)) for g in grads])
        self.updates = [K.moving_average_update(self.size, size, 0.9), (self.lr, self.lr * 0.9)]
        self.weights = [self.size]
        for p, g in zip(params, grads):  # noqa: B905
            change = self.lr * (g / (1.0 + K.abs(g)) + 0.1 * g / (0.1 + self.size))
            if getattr(p, "constraint", None) is not None:
                self.updates.append(K.update(p, p.constraint(p - change)))
            else:
                self.updates.append(K.update_sub(p, change))
        return self.updates


class Centered(Adam):
    """Adam on gradients of mean zero along their first axis."""

    def get_gradients(self, loss, params):
        grads = super(Centered, self).get_gradients(loss, params)  # noqa: UP008
        return [g - K.mean(g, axis=0, keepdims=True) if K.ndim(g) > 1 else g for g in grads]


MADE = {
    "adam": lambda: WrittenAdam(lr=0.05, decay=0.1, clipnorm=0.8),
    "amsgrad": lambda: WrittenAdam(lr=0.05, beta_2=0.7, amsgrad=True, clipvalue=0.1),
    "multiplied": lambda: Multiplied({"bias": 2.0, "last": 0.5}, lr=0.2, momentum=0.8, decay=0.1, nesterov=True),
    "accumulated": lambda: Accumulated(SGD(lr=0.5), every=3),
    "accumulated adam": lambda: Accumulated(Adam(lr=0.05, beta_2=0.9), every=2, clipnorm=0.3),
    "averaged": lambda: Averaged(),
    "penalized": lambda: Penalized(),
    "centered": lambda: Centered(lr=0.05),
}


def network():
    model = models.Sequential(
        [
            layers.Dense(
                3, activation="tanh", input_shape=(2,), kernel_constraint=constraints.max_norm(1.0), name="one"
            ),
            layers.Dense(2, name="last"),
        ]
    )
    shapes = [weight.shape for weight in model.get_weights()]
    model.set_weights([np.sin(1.7 * np.arange(np.prod(shape)) + 1.0).reshape(shape) for shape in shapes])
    return model


X = np.cos(np.arange(16.0)).reshape(8, 2)
Y = np.stack([X[:, 0] * X[:, 1] + 1.0, np.sin(3.0 * X[:, 0])], axis=1)
