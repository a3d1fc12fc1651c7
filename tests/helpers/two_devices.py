"""Samples on two logical devices; a program: python -m tests.helpers.two_devices WORKDIR."""

import sys

import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tf_mdsm.config.file import get_config  # noqa: E402
from tf_mdsm.distributed.strategies import local_devices  # noqa: E402
from tf_mdsm.runs.sample import sample  # noqa: E402

assert len(local_devices()) == 2
config = get_config(sys.argv[1])
config.sampling.update(num_samples=12, batch_size=2)
sample(config, sys.argv[1])
