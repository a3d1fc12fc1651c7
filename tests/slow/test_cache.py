"""Training from images on disk, a whole run and its continuation."""

from tests.helpers.small_runs import assert_same_weights, final_weights, small_config
from tf_mdsm.runs.train import train


def test_training_from_disk_is_training_from_memory(tmp_path):
    """The run from disk also resumes from memory."""
    runs = {}
    for name, cache in (("memory", ""), ("disk", str(tmp_path / "cache"))):
        config = small_config(training__num_steps=8, data__cache=cache)
        config.optimizer.schedule = "constant"
        train(config, str(tmp_path / name))
        config.training.num_steps, config.data.cache = 12, ""
        train(config, str(tmp_path / name))
        runs[name] = final_weights(tmp_path / name)
    assert_same_weights(runs["disk"], runs["memory"])
