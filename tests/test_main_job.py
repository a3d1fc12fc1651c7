"""The main job as a user runs it: training and sampling by the command line."""

import numpy as np
import pytest
from PIL import Image
from small_runs import call, flags, saved_config

from tf_mdsm.config.file import get_config
from tf_mdsm.errors import RunError
from tf_mdsm.runs import sharded_sampling
from tf_mdsm.runs.sample import sample as sampling_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    result = call(*flags(training__num_steps=10), f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    return folder


def sample(workdir, *overrides: str):
    return call(f"--workdir={workdir}", "--mode=sample", *overrides)


def test_training_prints_two_lines_where_there_is_no_terminal(workdir, tmp_path):
    result = call(*flags(training__num_steps=3), f"--workdir={tmp_path}")
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert "1617 training images" in lines[0]
    assert "step 3: finished" in lines[1]
    assert saved_config(tmp_path)["training"]["num_steps"] == 3


def test_sampling_writes_the_files_that_it_prints(workdir):
    result = sample(workdir)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (workdir / "samples").iterdir()}
    stem = "annealed_langevin_6"
    pictures = {f"{stem}.png", f"{stem}_energy.png", f"{stem}_chain.png", f"{stem}_chain.gif"}
    assert names == pictures | {f"{stem}.npz"}
    assert result.stdout.split() == [
        f"{workdir}/samples/{stem}{ending}"
        for ending in (".npz", ".png", "_energy.png", "_chain.png", "_chain.gif")
    ]
    with np.load(workdir / "samples" / f"{stem}.npz") as arrays:
        assert arrays["images"].shape == (6, 8, 8, 1)
        assert arrays["images"].dtype == np.uint8
        assert arrays["energies"].shape == (6,)
        assert np.isfinite(arrays["energies"]).all()
    for name in pictures:
        with Image.open(workdir / "samples" / name) as picture:
            picture.verify()
    with Image.open(workdir / "samples" / f"{stem}_chain.gif") as animation:
        # Start, states after every third step, denoised images; equal frames are merged.
        assert 2 <= animation.n_frames <= 5


def test_images_depend_on_their_seeds_only(workdir):
    def images(**changes):
        config = get_config(str(workdir))
        config.sampling.update(changes)
        path, *_ = sampling_run(config, str(workdir))
        with np.load(path) as arrays:
            return arrays["images"].astype(int)

    six = images()
    np.testing.assert_array_equal(six, images())
    three = images(num_samples=3, seed=2)
    # In a batch of another size convolutions may sum in another order, and a pixel may differ by
    # 1 / 255.
    assert np.abs(three - six[2:5]).max() <= 1
    assert not np.array_equal(three, images(num_samples=3))


def test_a_sampling_run_that_diverges_writes_no_samples(workdir, monkeypatch):
    original = sharded_sampling.compile_chain

    def compile_diverging_chain(*arguments):
        sample_chain = original(*arguments)

        def sample_diverging_chain(*arguments):
            chain = sample_chain(*arguments)
            chain.energies[5, 1] = np.inf
            return chain

        return sample_diverging_chain

    monkeypatch.setattr(sharded_sampling, "compile_chain", compile_diverging_chain)
    config = get_config(str(workdir))
    config.sampling.num_samples = 2
    with pytest.raises(RunError, match="step 5 of the chain: the energy is not finite"):
        sampling_run(config, str(workdir))
    assert not (workdir / "samples" / "annealed_langevin_2.npz").exists()


def test_sampling_before_training_is_refused(tmp_path):
    result = sample(tmp_path)
    assert result.returncode == 2
    assert "must hold a run's config.json" in result.stderr


def test_sampling_with_another_network_is_refused(workdir):
    before = {path: path.stat().st_mtime for path in workdir.rglob("*")}
    result = sample(workdir, "--config.network.channels=4")
    assert result.returncode == 2
    assert "hold a checkpoint of this network" in result.stderr
    assert before == {path: path.stat().st_mtime for path in workdir.rglob("*")}


def test_training_is_resumed_by_the_run_folder_alone(workdir):
    result = call(f"--workdir={workdir}")
    assert result.returncode == 0
    assert "from step 10 to 10" in result.stderr
    result = call(f"--workdir={workdir}", "--config.noise.sigma0=0.2")
    assert result.returncode == 2
    assert "`config.noise.sigma0` must stay 0.1" in result.stderr
