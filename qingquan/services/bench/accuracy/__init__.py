"""Measured accuracy: recorded data with labels of others in, `docs/accuracy.md` out."""
