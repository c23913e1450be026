"""Telling others what became of orders: signed messages, with retries."""
