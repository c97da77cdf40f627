"""The notebook runs from its first cell to its last."""

import nbformat
import pytest
from nbclient import NotebookClient
from tiny import ROOT


@pytest.mark.slow
def test_tour_runs_and_shows_what_it_says(tmp_path):
    notebook = nbformat.read(ROOT / "examples/tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # as it is kept
    client = NotebookClient(
        notebook, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [
        data
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for data in output.get("data", ())
    ]
    assert shown.count("image/png") == 6
