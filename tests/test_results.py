"""What the README and results/ say is what the JSON files in results/ say."""

import re
import runpy
import shutil

import compare_cvaes
import compare_unets
import pytest
from tiny import ROOT

from train_tf.files import read_json

RESULTS = ROOT / "results"
REPORTS = pytest.mark.parametrize(
    "compare, name",
    [(compare_unets, "unet"), (compare_cvaes, "cvae")],
    ids=["unets", "cvaes"],
)


@pytest.fixture(scope="module")
def tables():
    return runpy.run_path(str(ROOT / "benchmarks" / "readme_tables.py"))


def test_readme_has_the_tables_that_the_files_give(tables):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("<!-- end -->") == len(tables["TABLES"])
    assert tables["fill"](readme, RESULTS) == readme


def test_figure_changed_in_the_readme_is_put_right(tables):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    wrong = readme.replace("| model.predict |", "| model.predict | 1 |")
    assert wrong != readme and tables["fill"](wrong, RESULTS) == readme


def test_unknown_table_is_named(tables):
    with pytest.raises(tables["InputError"], match="Received: <!-- sizes -->"):
        tables["fill"]("<!-- sizes -->\n<!-- end -->", RESULTS)


@pytest.mark.parametrize(
    "table, file",
    [("runtimes", "bench_inference"), ("unets", "unet_maxpool_transpose")],
)
def test_missing_file_is_named(table, file, tables, tmp_path):
    with pytest.raises(tables["InputError"], match=f"Expected {tmp_path}/{file}"):
        tables["fill"](f"<!-- {table} -->\n<!-- end -->", tmp_path)


def test_readme_says_how_good_the_judges_are():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for one in compare_cvaes.read_trained(RESULTS):
        assert f"{100 * one['scores']['judge_accuracy']:.1f} %" in readme


def test_tables_of_the_readme_have_as_many_cells_in_each_row(tables):
    for make in tables["TABLES"].values():
        columns = {row.count("|") for row in make(RESULTS)}
        assert len(columns) == 1


@REPORTS
def test_report_is_what_the_files_give(compare, name):
    text = (RESULTS / f"{name}s.md").read_text(encoding="utf-8")
    assert compare.as_markdown(compare.read_trained(RESULTS)) == text


@pytest.mark.parametrize(
    "file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem
)
def test_result_says_where_it_comes_from(file):
    told = read_json(file)
    assert told["command"].startswith("python ")
    assert {"versions", "processor", "instructions"} <= told.keys()
    assert re.fullmatch("[0-9a-f]{12}", told["commit"])
    if file.name.startswith(("unet_", "cvae_")):
        assert told["history"] and told["minutes"] > 0 and "seed" in told["config"]


@pytest.mark.slow
@REPORTS
def test_reports_are_the_same_twice(compare, name, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        for file in RESULTS.glob("*.json"):
            shutil.copy(file, folder)
        compare.report(folder, ROOT / "saved_models")
    made = [x for x in (tmp_path / "a").rglob("*") if x.is_file()]
    pictures = [x for x in made if x.suffix == ".png"]
    assert len(pictures) >= 4
    for file in made:
        again = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == again.read_bytes()
