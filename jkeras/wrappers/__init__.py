"""Models in the clothes of other libraries; `jkeras.wrappers.scikit_learn` is imported by its name."""
