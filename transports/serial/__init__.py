"""Serial lines, optical heads, and pseudo-terminals as slow as they are."""
