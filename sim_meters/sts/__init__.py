"""The keyed half of STS (IEC 62055-41): ciphers, decoder keys, token fields, the meter's token machine."""
