"""A thousand malformed requests to an exported model, each followed by a valid one."""

from benchmarks.cost.memory import peak_mib
from tests.helpers.malformed_requests import assert_refused_and_answered
from tests.helpers.served_model import Model

COUNT = 1_000


def test_a_thousand_malformed_requests_are_refused_and_leak_no_memory(exported_run):
    model = Model(str(exported_run / "export"))
    memory = assert_refused_and_answered(model, COUNT, after_each=peak_mib)
    # The first half contains the largest requests. More memory afterwards would be a leak.
    assert memory[-1] - memory[COUNT // 2] < 32
