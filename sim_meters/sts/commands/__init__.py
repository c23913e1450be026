"""``simmeters sts``: tokens and keys for the lab."""
