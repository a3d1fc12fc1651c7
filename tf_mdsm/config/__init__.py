"""Every setting of a run: default, range, rules, files, command-line flags. No TensorFlow."""

from tf_mdsm.config.defaults import default_config

__all__ = ["default_config"]
