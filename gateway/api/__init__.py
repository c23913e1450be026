"""The head-end's HTTP API: one file per resource, one table of routes, one family of problems."""
