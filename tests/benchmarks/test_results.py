"""Results of a benchmark: rows survive a stop, and continue only what is comparable."""

import json

import pytest

from benchmarks.results import Results, markdown_table


def test_unfinished_results_are_continued_only_if_they_are_comparable(tmp_path):
    path = str(tmp_path / "toy.json")
    Results(path, {"rounds": 7}).add("one", {"seconds": 1.0})
    assert Results(path, {"rounds": 7}).rows == {"one": {"seconds": 1.0}}
    assert Results(path, {"rounds": 9}).rows == {}
    report = json.loads((tmp_path / "toy.json").read_text())
    report["machine"]["processor"] = "another"
    (tmp_path / "toy.json").write_text(json.dumps(report))
    assert Results(path, {"rounds": 7}).rows == {}
    # Nothing is overwritten before there is a row.
    assert json.loads((tmp_path / "toy.json").read_text()) == report


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rows": 1}'])
def test_other_files_are_not_continued(tmp_path, content):
    path = tmp_path / "toy.json"
    path.write_text(content)
    results = Results(str(path), {})
    assert results.rows == {}
    results.add("one", {})
    assert list(json.loads(path.read_text())["rows"]) == ["one"]


def test_finished_results(tmp_path, capsys):
    path = tmp_path / "folder" / "toy.json"
    results = Results(str(path), {"sizes": (8, 8)})
    results.set_facts(features="none")
    results.add("b", {"seconds": 2.0})
    results.add("a", {"seconds": 1.0})
    report = results.finish(["a", "b"])
    results.write_table(markdown_table([["case", "s"], ["a", "1"]]))
    assert list(report["rows"]) == ["a", "b"]
    assert report["features"] == "none"
    assert report["machine"]["processor"]
    assert report["machine"]["cores"] > 0
    assert {"python", "tensorflow", "keras", "commit"} <= report["software"].keys()
    assert json.loads(path.read_text()) == json.loads(json.dumps(report))
    table = (tmp_path / "folder" / "toy.md").read_text()
    assert table == "| case | s |\n| --- | --- |\n| a | 1 |\n"
    assert "| a | 1 |" in capsys.readouterr().out
    # Finished results are measured anew.
    assert Results(str(path), {"sizes": (8, 8)}).rows == {}
