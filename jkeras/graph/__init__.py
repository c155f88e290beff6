"""The symbolic graph: who was called on what, and how that becomes one pure function."""
