"""The ``stsgate`` command: one file for each subcommand."""
