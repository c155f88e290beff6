"""The shell: what users pass to `compile`, `fit` and their like, and the trainer that it comes to."""
