"""The benchmark `trace`: time and calls by kinds of operations, and the table of them."""

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.cost import trace
from tf_mdsm.errors import RunError


def write_trace(folder, durations: dict[str, list[int]]) -> None:
    """A profile of events by their names, each with its picoseconds, on two threads."""
    space = xplane_pb2.XSpace()
    plane = space.planes.add()
    threads = [plane.lines.add(), plane.lines.add()]
    for number, (name, values) in enumerate(durations.items()):
        plane.event_metadata[number].name = name
        for value in values:
            threads[value % 2].events.add(metadata_id=number, duration_ps=value)
    path = folder / "plugins" / "profile" / "now" / "host.xplane.pb"
    path.parent.mkdir(parents=True)
    path.write_bytes(space.SerializeToString())


def test_operations_are_added_up_by_kind(tmp_path):
    """Over all threads, whatever library computes them; events of the runtime do not count."""
    durations = {
        "network/conv1/Conv2D:Conv2D": [1, 2, 3],
        "network/conv2/Conv2D:_MklNativeConv2D": [10],
        "network/mul:_FusedMul": [20, 1],
        "ThreadpoolListener::Region": [1_000],
        "scope/name::two": [1_000],
        "EagerExecute": [1_000],
    }
    write_trace(tmp_path, durations)
    kinds = trace.seconds_by_kind(str(tmp_path))
    assert list(kinds) == ["FusedMul", "Conv2D"]
    assert kinds["FusedMul"] == {"seconds": pytest.approx(21e-12), "calls": 2}
    assert kinds["Conv2D"] == {"seconds": pytest.approx(16e-12), "calls": 4}


def test_a_folder_without_operations_is_no_trace(tmp_path):
    write_trace(tmp_path, {"EagerExecute": [1]})
    with pytest.raises(RunError, match="holds no trace of operations"):
        trace.seconds_by_kind(str(tmp_path))


def test_the_table(monkeypatch):
    monkeypatch.setattr(trace, "_LISTED_KINDS", 1)
    times = {"Conv2D": (0.6, 40), "Mul": (0.1, 20), "Add": (0.3, 2)}
    kinds = {name: {"seconds": s, "calls": calls} for name, (s, calls) in times.items()}
    assert trace.table(kinds, steps=20).splitlines()[2:] == [
        "| Conv2D | 2 | 30.00 | 60.0 % |",
        "| all others | 1 | 20.00 | 40.0 % |",
    ]


def test_an_earlier_trace_is_kept(tmp_path, capsys):
    write_trace(tmp_path, {"a/b:Mul": [1]})
    assert trace.main([f"--output={tmp_path}"]) == 2
    assert "`--output` must hold no trace yet" in capsys.readouterr().err
