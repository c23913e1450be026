"""The head-end: delivers STS tokens to meters and proves what became of them."""

__version__ = "0.1.0"
