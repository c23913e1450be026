"""What goes over links, for people who want to see it."""
