"""What tf_mdsm's compiled programs cost on an accelerator, and what they train there.

`prepare` needs TensorFlow and no accelerator: it writes training steps and samplers as StableHLO
into a folder. `run` needs the accelerator with NumPy and JAX, and no TensorFlow. `collect` turns
what `run` brought home into ordinary run folders.
"""
