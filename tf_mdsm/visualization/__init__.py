"""Grids of images, plots, and pictures of what a model computes."""
