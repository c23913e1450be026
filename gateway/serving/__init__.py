"""The process of ``stsgate serve``: its parts, put together, watched and ended."""
