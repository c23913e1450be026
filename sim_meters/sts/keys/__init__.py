"""Whose key it is, and how a vending key makes it."""
