"""What stands before the model: sequences, texts and images made into arrays, as Keras makes them."""

from jkeras.preprocessing import image, sequence, text

__all__ = ["image", "sequence", "text"]
