"""The examples in Python with their own network, for fewer steps, and with a whole export."""

from tests.helpers.readme import assert_examples, run_examples
from tests.helpers.served_model import Model


def test_the_examples_run(small_run, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(small_run)
    monkeypatch.chdir(tmp_path)
    assert_examples(run_examples({"epochs=50": "epochs=1"}))
    assert Model(str(tmp_path / "served" / "export")).version == 1
