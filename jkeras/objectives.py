"""The second address of the losses."""

# fmt: off
from jkeras.losses import (  # noqa: F401, I001
    KLD, MAE, MAPE, MSE, MSLE, binary_crossentropy, categorical_crossentropy, categorical_hinge, cosine,
    cosine_proximity, deserialize, get, hinge, kld, kullback_leibler_divergence, logcosh, mae, mape,
    mean_absolute_error, mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, mse, msle,
    poisson, serialize, sparse_categorical_crossentropy, squared_hinge,
)
