"""Grids of images, plots, pictures of a model."""
