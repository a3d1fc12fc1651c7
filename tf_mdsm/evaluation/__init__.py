"""Samples against real images: what describes an image, and how far apart two sets are."""
