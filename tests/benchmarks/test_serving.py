"""The benchmark of serving refuses what it cannot measure before it starts a server."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.cost import serving
from tests.helpers.small_runs import small_config
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.run import load
from tf_mdsm.runs.train import train


@pytest.fixture
def workdir(exported_run, tmp_path):
    """A run whose export is of another step than its checkpoint."""
    for path in exported_run.iterdir():
        if path.name != "export":
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(exported_run / "export" / "1", tmp_path / "export" / "1")
    provenance = tmp_path / "export" / "1" / "assets.extra" / "tf_mdsm.json"
    provenance.write_text(json.dumps(json.loads(provenance.read_text()) | {"step": 7}))
    return tmp_path


def test_invalid_arguments_are_refused_first(workdir, monkeypatch, capsys):
    def start(*_):
        raise AssertionError("a server was started")

    monkeypatch.setattr(serving, "server", start)
    for options, message in [
        ([], "`--workdir` must have the exported step 7 as its newest checkpoint"),
        (["--output=/nowhere/x.json"], "`--output` must be a file in a folder that can be"),
        ([f"--output={workdir}"], "`--output` must be a file in a folder that can be"),
    ]:
        assert serving.main([f"--workdir={workdir}", *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("serving: ")
        assert message in line


def test_guided_runs_are_sampled_with_their_guide(tmp_path):
    guided = {"guidance": 2.0, "training__guide_step": 2}
    train(small_config(training__num_steps=4, sampling__sampler="heun", **guided), str(tmp_path))
    export = tmp_path / "export" / "1"
    (export / "assets.extra").mkdir(parents=True)
    provenance = {"step": 4, "config": get_config(str(tmp_path)).to_dict()}
    (export / "assets.extra" / "tf_mdsm.json").write_text(json.dumps(provenance))
    images = serving.sampler_in_process(str(tmp_path), str(export))(np.arange(2))
    # Uint8 images are rounded to 1/255.
    expected = load(tmp_path).sample(2) / 255
    np.testing.assert_allclose(np.clip(images, 0, 1), expected, atol=0.5 / 255 + 1e-5)


def test_the_newest_export_is_the_one_of_the_largest_number(tmp_path):
    for name in ("9", "10", "notes"):
        (tmp_path / "export" / name).mkdir(parents=True)
    assert serving.newest_export(str(tmp_path)) == f"{tmp_path}/export/10"


@pytest.mark.parametrize(("limit", "expected"), [(64, [1, 8, 64]), (63, [1, 8]), (7, [1])])
def test_only_requests_that_the_export_takes_are_measured(tmp_path, limit, expected):
    (tmp_path / "assets.extra").mkdir()
    provenance = {"config": {"export": {"max_batch_size": limit}}}
    (tmp_path / "assets.extra" / "tf_mdsm.json").write_text(json.dumps(provenance))
    assert serving.batch_sizes(str(tmp_path)) == expected


def test_the_table_shows_median_slowest_and_images_a_second():
    seconds = {"grpc": [0.5, 1.0, 0.25]}
    report = {
        "export": "export/1",
        "image_shape": [8, 8, 1],
        "start_seconds": 3.0,
        "load_seconds": 2.0,
        "warm_up_seconds": 1.0,
        "first_request_seconds": {"cold": 0.2, "after_warm_up": 0.1},
        "rows": {"8": {"seconds": seconds, "median_ratio": {"grpc": 0.9}}},
    }
    *_, row = serving.table(report).splitlines()
    assert row.split() == ["8", "grpc", "0.5000", "1.0000", "16.0", "0.900"]
