"""Evaluation: sample quality, memorization, out-of-distribution detection, denoising, likelihood.

Everything takes arrays and callables, and knows neither the configuration nor the model.
"""
