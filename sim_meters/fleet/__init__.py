"""Many simulated meters in one process: how they are described, and how they are kept."""
