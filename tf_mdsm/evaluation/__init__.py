"""Evaluation: numbers from arrays and callables; knows no config and no model."""
