"""Likelihood of images by annealed importance sampling: bounds of log Z, and bits per dimension."""
