"""The README's example with its own network, for fewer steps, and with a whole export."""

from tests.helpers.readme import assert_example, run_example
from tests.helpers.served_model import Model


def test_the_example_runs(small_run, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(small_run)
    monkeypatch.chdir(tmp_path)
    assert_example(run_example({"epochs=50": "epochs=1"}))
    assert Model(str(tmp_path / "served")).version == 1
