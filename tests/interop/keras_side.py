"""The process that has the real Keras 2.2.4: answers requests, one line of JSON each, until its input ends."""

import json
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def all_at_once():
    """Have Keras assign what a step changes after all of it was computed.

    It lets TensorFlow assign in any order, so that by chance a gradient sees a weight that was changed already.
    """
    import tensorflow as tf
    from keras.backend import tensorflow_backend as backend

    class Function(backend.Function):
        def __init__(self, inputs, outputs, updates=None, **arguments):
            kinds = {"Assign": tf.assign, "AssignAdd": tf.assign_add, "AssignSub": tf.assign_sub}
            late, rest = [], []
            for update in updates or []:
                operation = getattr(update, "op", update)
                if isinstance(update, tuple):
                    late.append((tf.assign, update[0], tf.convert_to_tensor(update[1], update[0].dtype.base_dtype)))
                elif operation.type in kinds:
                    late.append((kinds[operation.type], operation.inputs[0], operation.inputs[1]))
                else:
                    rest.append(update)
            with tf.control_dependencies([value for _, _, value in late] + list(outputs)):
                rest += [assign(variable, tf.identity(value)).op for assign, variable, value in late]
            super().__init__(inputs, outputs, updates=rest, **arguments)

    backend.Function = Function


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    import keras
    from crossing import ACTIONS, names

    assert keras.__version__ == "2.2.4", keras.__version__
    all_at_once()
    k = names("keras")
    print(json.dumps({"keras": keras.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        action, *arguments = json.loads(line)
        try:
            answer = ACTIONS[action](k, *arguments)
        except Exception:
            answer = {"failed": traceback.format_exc(limit=-4)}
        print(json.dumps(answer, default=float), file=answers, flush=True)


if __name__ == "__main__":
    main()
