"""Each data set has one `DatasetSpec`; folders are searched in the documented order."""

from pathlib import Path

import pytest

from train_tf.data import datasets
from train_tf.data.datasets import BUNDLED, find_dataset
from train_tf.errors import InputError


def prepared(folder, name="mnist", versions=("3.0.1",)):
    for version in versions:
        (folder / name / version).mkdir(parents=True)
        (folder / name / version / "dataset_info.json").touch()
    return folder


def test_first_place_that_has_the_set_is_taken(tmp_path, monkeypatch):
    assert find_dataset("mnist") == BUNDLED / "mnist" / "3.0.1"
    home = prepared(Path.home() / "tensorflow_datasets")
    assert find_dataset("mnist") == home / "mnist" / "3.0.1"
    named = prepared(tmp_path / "named")
    monkeypatch.setenv("TFDS_DATA_DIR", str(named))
    assert find_dataset("mnist") == named / "mnist" / "3.0.1"
    assert find_dataset("cifar10") == BUNDLED / "cifar10" / "3.0.2"
    given = prepared(tmp_path / "given")
    assert find_dataset("mnist", given) == given / "mnist" / "3.0.1"


def test_newest_version_is_taken_by_number(tmp_path):
    prepared(tmp_path, versions=("2.0.0", "10.0.0", "9.1.0", "11.0.0.bak"))
    assert find_dataset("mnist", tmp_path).name == "10.0.0"


def test_missing_set_names_the_places_and_the_way_out(tmp_path):
    with pytest.raises(InputError) as error:
        find_dataset("mnist", tmp_path)
    assert str(tmp_path / "mnist") in str(error.value)
    assert "prepare_data.py mnist" in str(error.value)
    assert str(BUNDLED) not in str(error.value)  # it was not searched
    with pytest.raises(InputError, match=str(BUNDLED)):
        find_dataset("imagenet")


def test_package_without_its_clone_finds_samples_in_the_folder_at_hand(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(datasets, "BUNDLED", tmp_path / "site-packages" / "datasets")
    with pytest.raises(InputError, match="bundled samples are in the project's"):
        find_dataset("mnist")
    prepared(tmp_path / "datasets")
    assert find_dataset("mnist") == tmp_path / "datasets" / "mnist" / "3.0.1"
