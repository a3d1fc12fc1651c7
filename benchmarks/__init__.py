"""Benchmarks: what training, sampling and serving cost, and how good the samples are.

`python -m benchmarks` lists all of them; `python -m benchmarks NAME [--flags]` runs one.
"""
