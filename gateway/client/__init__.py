"""Speaking to a running service over HTTP."""
