"""A running fleet over HTTP: look at meters, let things go wrong, move the clock. For a lab, never for the world."""
