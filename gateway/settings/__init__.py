"""How the service is set: file, environment and options, read and checked at once."""
