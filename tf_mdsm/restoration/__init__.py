"""Inverse problems: what was measured of an image, and how well it is restored."""
