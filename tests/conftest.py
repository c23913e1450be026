"""What all tests share: how hypothesis searches. A busy machine must not turn a slow example into a failure."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("stsgate", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("stsgate")
