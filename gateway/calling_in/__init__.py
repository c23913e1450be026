"""What meters say and do unasked: they call in, push values, and come online."""
