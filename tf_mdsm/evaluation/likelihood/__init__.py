"""Likelihood by annealed importance sampling: log Z between bounds, bits per dimension."""
