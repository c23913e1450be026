"""What the head-end must not forget: the interface (``store``), what goes through it (``records``), and SQLite."""
