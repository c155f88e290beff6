"""Networks that were trained on ImageNet: to use as they are, to take features from, or to go on training.

They take images of 224x224 pixels, or of 32x32 at least; `NASNetLarge` of 331x331; `Xception` of 299x299, 71x71 at
least; `InceptionV3` and `InceptionResNetV2` of 299x299, 75x75 at least.

Each module has the `preprocess_input` that its network wants of images, and `decode_predictions`.

Example:
    >>> from jkeras.applications.mobilenet_v2 import MobileNetV2
    >>> model = MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(96, 96, 3))
    >>> model.output_shape
    (None, 1280)
"""

from jkeras.applications import imagenet_utils
from jkeras.applications.densenet import DenseNet121, DenseNet169, DenseNet201
from jkeras.applications.inception_resnet_v2 import InceptionResNetV2
from jkeras.applications.inception_v3 import InceptionV3
from jkeras.applications.mobilenet import MobileNet
from jkeras.applications.mobilenet_v2 import MobileNetV2
from jkeras.applications.nasnet import NASNetLarge, NASNetMobile
from jkeras.applications.resnet50 import ResNet50
from jkeras.applications.vgg16 import VGG16
from jkeras.applications.vgg19 import VGG19
from jkeras.applications.xception import Xception

__all__ = [
    "DenseNet121", "DenseNet169", "DenseNet201", "InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2",
    "NASNetLarge", "NASNetMobile", "ResNet50", "VGG16", "VGG19", "Xception", "imagenet_utils",
]  # fmt: skip
