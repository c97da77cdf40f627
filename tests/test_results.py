"""The tables in the documentation match results/*.json."""

import re
import shutil

import compare_cvaes
import compare_unets
import pytest
import tables
from tiny import ROOT

from train_tf.errors import InputError
from train_tf.files import read_json

RESULTS = ROOT / "results"
PAGES = {x.name: x.read_text(encoding="utf-8") for x in tables.all_pages()}


@pytest.mark.parametrize("page", PAGES)
def test_page_has_the_tables_that_the_files_give(page):
    assert tables.fill(PAGES[page], RESULTS) == PAGES[page]


def test_every_table_is_on_a_page_and_every_marker_is_closed():
    names = re.findall(r"<!-- (\w+) -->", "".join(PAGES.values()))
    assert names.count("end") == len(names) - names.count("end")
    assert set(names) == {*tables.TABLES, "end"}
    assert {"unets", "vaes"} <= set(re.findall(r"<!-- (\w+) -->", PAGES["README.md"]))


def test_wrong_number_on_a_page_is_corrected(tmp_path):
    page, right = tmp_path / "page.md", PAGES["benchmarks.md"]
    wrong = right.replace("| model.predict |", "| model.predict | 1 |")
    assert wrong != right
    page.write_text(wrong, encoding="utf-8")
    tables.main(tables.TablesConfig(pages=(page,)))
    assert page.read_text(encoding="utf-8") == right


def test_unknown_table_is_named():
    with pytest.raises(InputError, match="Received: <!-- sizes -->"):
        tables.fill("<!-- sizes -->\n<!-- end -->", RESULTS)


@pytest.mark.parametrize("table", tables.TABLES)
def test_table_without_results_is_rejected(table, tmp_path):
    with pytest.raises(InputError, match=f"Expected .*{tmp_path}.* Found none"):
        tables.fill(f"<!-- {table} -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize(
    "table, file",
    [("runtimes", "bench_inference"), ("unets", "unet_maxpool_transpose")],
)
def test_missing_file_is_named(table, file, tmp_path):
    with pytest.raises(InputError, match=f"Expected {tmp_path}/{file}"):
        tables.fill(f"<!-- {table} -->\n<!-- end -->", tmp_path)


@pytest.mark.parametrize("page", ["README.md", "results.md"])
def test_page_gives_the_accuracy_of_the_evaluation_classifiers(page):
    for trained in compare_cvaes.read_trained(RESULTS):
        accuracy = trained["scores"]["classifier_accuracy"]
        assert f"{100 * accuracy:.1f} %" in PAGES[page]


@pytest.mark.parametrize("name", tables.TABLES)
def test_rows_of_a_table_have_as_many_cells_as_its_head(name):
    assert len({len([*row]) for row in tables.TABLES[name](RESULTS)}) == 1


def test_short_table_of_vaes_has_the_cells_of_the_long_one():
    rows = {row[0]: row for row in tables.TABLES["all_vaes"](RESULTS)}
    for row in tables.TABLES["vaes"](RESULTS):
        assert set(row) <= set(rows[row[0]])


@pytest.mark.parametrize(
    "file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem
)
def test_result_says_where_it_comes_from(file):
    results = read_json(file)
    python, script, *_ = results["command"].split()
    assert python == "python" and (ROOT / script).is_file()
    assert {"versions", "processor", "instructions"} <= results.keys()
    assert re.fullmatch("[0-9a-f]{12}", results["commit"])
    if file.name.startswith(("unet_", "cvae_")):
        assert results["run_name"] == file.stem
        assert results["history"] and results["minutes"] > 0
        assert "seed" in results["config"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "report",
    [compare_unets.draw_figures, compare_cvaes.draw_figures],
    ids=["unets", "cvaes"],
)
def test_figures_are_the_same_twice(report, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        for file in RESULTS.glob("*.json"):
            shutil.copy(file, folder)
        report(folder, ROOT / "saved_models")
    written = [x for x in (tmp_path / "a").rglob("*") if x.is_file()]
    figures = [x for x in written if x.suffix == ".png"]
    assert len(figures) >= 4
    for file in written:
        again = tmp_path / "b" / file.relative_to(tmp_path / "a")
        assert file.read_bytes() == again.read_bytes()
