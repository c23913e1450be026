"""Meters that open the connection themselves."""
