"""Data sets to try a model on. `digits` comes with the package; the others are downloaded when first asked for."""

from jkeras.datasets import boston_housing, cifar10, cifar100, digits, fashion_mnist, imdb, mnist, reuters

__all__ = ["boston_housing", "cifar10", "cifar100", "digits", "fashion_mnist", "imdb", "mnist", "reuters"]
