"""Networks trained on ImageNet: what their images and predictions mean."""

from jkeras.applications import imagenet_utils

__all__ = ["imagenet_utils"]
