"""The numeric kernels that several layers and the backend share. Functions of arrays: they know no layer."""
