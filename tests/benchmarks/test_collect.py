"""A run folder of weights that were trained elsewhere."""

import json

import numpy as np
import pytest

from benchmarks.accelerator import collect
from tests.helpers.small_runs import call, small_config
from tf_mdsm.runs.loaded_run import load_run


@pytest.fixture(scope="module")
def case():
    return {"config": json.loads(small_config().to_json())}


@pytest.fixture(scope="module")
def weights(case):
    from tf_mdsm.runs.build_model import build_model

    model = build_model(small_config())
    size = model.network.count_params()
    return np.random.default_rng(0).normal(scale=0.1, size=size).astype(np.float32)


def test_the_run_has_these_weights_in_both_networks_and_samples(case, weights, tmp_path):
    workdir = tmp_path / "run"
    config = collect.collect(case, 1_234, weights, str(workdir))
    run = load_run(config, str(workdir))
    assert run.step == config.training.num_steps == 1_234
    for network in (run.model.network, run.model.ema_network):
        loaded = np.concatenate([variable.numpy().ravel() for variable in network.variables])
        np.testing.assert_array_equal(loaded, weights)
    answer = call("--mode=sample", f"--workdir={workdir}")
    assert answer.returncode == 0, answer.stderr
    assert (workdir / "samples" / "annealed_langevin_6.npz").exists()


def test_a_guide_is_kept_at_its_step(case, weights, tmp_path):
    case["config"]["training"]["guide_step"] = 7
    case["config"]["guidance"] = 2.0
    workdir = tmp_path / "run"
    config = collect.collect(case, 20, weights, str(workdir), guide=2 * weights)
    assert load_run(config, str(workdir)).step == 20
    config.update(checkpoint="guide", guidance=1.0)
    run = load_run(config, str(workdir))
    assert run.step == 7
    loaded = np.concatenate([variable.numpy().ravel() for variable in run.model.network.variables])
    np.testing.assert_array_equal(loaded, 2 * weights)


def test_weights_of_another_network_are_refused(case, weights, tmp_path):
    with pytest.raises(ValueError, match=f"must hold {weights.size} weights. Received: 5"):
        collect.collect(case, 10, weights[:5], str(tmp_path / "run"))
    with pytest.raises(ValueError, match=f"must hold {weights.size} weights. Received: 4"):
        collect.collect(case, 10, weights, str(tmp_path / "run"), guide=weights[:4])


def test_weights_are_joined_in_the_order_of_their_numbers(tmp_path):
    """Twelve files: `10` comes after `9`, not after `1`."""
    for number in range(12):
        np.save(tmp_path / f"res12_weights_{number}.npy", np.full(3, number, np.float32))
    np.testing.assert_array_equal(
        collect.read_weights(str(tmp_path), "res12"), np.arange(12).repeat(3)
    )


def test_a_missing_guide_is_refused(tmp_path):
    np.save(tmp_path / "res12_weights_0.npy", np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="`--results` must hold guide of res12"):
        collect.read_weights(str(tmp_path), "res12", "guide")


def test_results_without_a_training_are_refused(tmp_path, capsys):
    (tmp_path / "cases.json").write_text('{"res12": {}}')
    (tmp_path / "results.json").write_text('{"time:res12": {"status": "done", "findings": []}}')
    flags = [f"--folder={tmp_path}", f"--results={tmp_path}", f"--workdir={tmp_path / 'run'}"]
    assert collect.main([*flags, "--case=res12"]) == 2
    assert "`--case` must be trained in" in capsys.readouterr().err
