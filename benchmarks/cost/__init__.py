"""Time and memory of training steps, sampling steps, whole runs and served requests."""
