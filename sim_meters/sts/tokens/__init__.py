"""What stands in a token: the table of types, packing and opening, key-change sets."""
