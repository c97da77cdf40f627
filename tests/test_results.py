"""What the README and results/ say is what the JSON files in results/ say."""

import runpy

import pytest
from conftest import ROOT

RESULTS = ROOT / "results"


@pytest.fixture(scope="module")
def tables():
    return runpy.run_path(str(ROOT / "benchmarks" / "readme_tables.py"))


def test_readme_has_the_tables_that_the_files_give(tables):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "<!-- speed_of_unets -->" in readme
    assert tables["fill"](readme, RESULTS) == readme


def test_figure_changed_in_the_readme_is_put_right(tables):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    wrong = readme.replace("| model.predict |", "| model.predict | 1 |")
    assert wrong != readme and tables["fill"](wrong, RESULTS) == readme


def test_unknown_table_is_named(tables):
    with pytest.raises(tables["InputError"], match="Received: <!-- sizes -->"):
        tables["fill"]("<!-- sizes -->\n<!-- end -->", RESULTS)
