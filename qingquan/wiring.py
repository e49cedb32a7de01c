"""Composition root: the only module that knows which adapter stands behind which port."""
