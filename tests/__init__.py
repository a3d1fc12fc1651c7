"""Tests of tf_mdsm: the same folders as the package, and `runs/`, `slow/`, `benchmarks/`."""
