"""THE OTHER END OF THE WIRE: simulated DLMS meters that decrypt STS tokens. Lab keys only."""
