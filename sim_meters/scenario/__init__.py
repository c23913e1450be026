"""``simmeters scenario``: cases with steps and expectations, for simulated meters and for real ones in a lab."""
