"""The tutorial as it is stored: complete, with outputs that are small and of no machine."""

import json
import re

import pytest

from tests.helpers.small_runs import ROOT

PATH = ROOT / "docs" / "guide" / "tutorial.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return json.loads(PATH.read_text())


def test_it_opens_anywhere(notebook):
    assert notebook["nbformat"] == 4
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert PATH.stat().st_size < 150_000


def test_its_cells_were_executed_in_order_without_an_error(notebook):
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"display_data", "stream"}
    assert {output["name"] for output in outputs if "name" in output} == {"stdout"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6


def test_its_outputs_name_no_place_of_a_machine(notebook):
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            text = "".join(output.get("text", output.get("data", {}).get("text/plain", "")))
            assert not re.search(r"(^|\s|')/[a-z]+/|tensorflow|WARNING", text), text


def test_its_links_exist(notebook):
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"):
        for link in re.findall(r"\]\(([^)#:]+)\)", "".join(cell["source"])):
            assert (PATH.parent / link).exists(), link


def test_it_takes_seven_steps(notebook):
    text = "".join("".join(cell["source"]) + "\n" for cell in notebook["cells"])
    steps = re.findall(r"^## (\d)\. ", text, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 8)]
    for call in ("mdsm.train", "run.model.energy", "run.sample", "run.restore", "evaluate()"):
        assert call in text
    assert "mdsm.export" in text
