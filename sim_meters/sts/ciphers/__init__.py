"""The encryption algorithms: EA07 (STA) and EA11 (MISTY1)."""
