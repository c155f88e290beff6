"""What surrounds a call while user code is traced: the values of its weights, the training flag, the key, and what it
adds.

Built-in layers are pure pairs and need none of this. A layer in Keras style reads `self.kernel`, asks for the learning
phase, draws numbers, adds losses and updates, all without being handed anything: a `Scope` is where it finds them and
where what it adds is collected, for exactly as long as the call lasts.
"""

import contextvars

__all__ = ["Scope", "current_scope"]

_current: contextvars.ContextVar["Scope | None"] = contextvars.ContextVar("scope", default=None)


def current_scope() -> "Scope | None":
    """The innermost scope of the call being traced, or None outside one."""
    return _current.get()


class Scope:
    """The surroundings of one call.

    Arguments:
        bindings: variable or other symbol -> the (traced) array that stands for it in this call.
        training: whether the call is part of training.
        key: the call's key, or None.

    Attributes:
        updates: variable -> its next value, as the call asked for.
        losses: scalars that the call adds to the loss; on leaving they pass on to the enclosing scope.
    """

    def __init__(self, bindings=None, *, training=False, key=None):
        self.bindings = bindings or {}
        self.training = training
        self.key = key
        self.updates: dict = {}
        self.losses: list = []
        self.parent: Scope | None = None
        self._draws = 0

    def __enter__(self):
        self.parent = _current.get()
        self._token = _current.set(self)
        return self

    def __exit__(self, exception_type, exception, traceback):
        _current.reset(self._token)
        if self.parent is not None and exception_type is None:
            self.parent.losses.extend(self.losses)

    def lookup(self, symbol):
        """The array that stands for `symbol` here or in an enclosing scope, or None."""
        scope, outermost = self, self
        while scope is not None:
            if symbol in scope.bindings:
                return scope.bindings[symbol]
            scope, outermost = scope.parent, scope
        return outermost.missing(symbol)

    def missing(self, symbol):
        """What an outermost scope says of a symbol that nothing was bound to: None, there is no value for it."""

    def update(self, variable, value):
        """Ask for `value` to be the next value of `variable`, in the scope that binds it (or in this one)."""
        scope = self
        while scope is not None:
            if variable in scope.bindings:
                scope.updates[variable] = value
                return
            scope = scope.parent
        self.updates[variable] = value

    def next_key(self):
        """A key for the next draw of this call."""
        if self.key is None:
            raise ValueError(
                "This call draws random numbers and was given no key: pass `key=` (for example jax.random.key(0))."
            )
        self._draws += 1
        return self.key.fold("draw", self._draws)
