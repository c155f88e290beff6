"""Data sets to try a model on. `digits` comes with the package; the others are downloaded when first asked for."""
