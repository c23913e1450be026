"""Checking a vector file: every key and token, in both directions."""
