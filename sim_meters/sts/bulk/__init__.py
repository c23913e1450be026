"""Tokens and keys by the million, with NumPy (the extra "lab")."""
