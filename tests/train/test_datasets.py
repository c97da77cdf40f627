"""Data is found in a stated order, never downloaded unasked, and drawn by seed."""

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny import ROOT

from train_tf.data.datasets import (
    BUNDLED,
    WHOLE_SETS,
    find_dataset,
    open_dataset,
    prepare_dataset,
    read_arrays,
    split_examples,
)
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


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("oxford_iiit_pet", 301, 298),
        ("mnist", 10_000, 2_000),
        ("cifar10", 5_000, 1_000),
    ],
)
def test_bundled_sets_open_without_a_network(name, train, test, monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    splits = open_dataset(name).info.splits
    assert (splits["train"].num_examples, splits["test"].num_examples) == (train, test)
    assert f"{train:,} train, {test:,} test" in capsys.readouterr().out


def test_download_without_a_network_ends_at_once_in_a_sentence(tmp_path, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match="mnist could not be downloaded from"):
        prepare_dataset("mnist", tmp_path)
    assert not list(tmp_path.iterdir())


def test_prepared_set_is_taken_without_a_network(small_sets, monkeypatch, capsys):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    prepare_dataset("mnist", small_sets)
    assert f"Data: mnist from {small_sets}" in capsys.readouterr().out


def test_download_by_a_proxy_needs_no_names_of_its_own(tmp_path, monkeypatch):
    def unknown(*_):
        raise AssertionError("looked the host up")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", lambda _: 1 / 0
    )
    with pytest.raises(InputError, match="could not be downloaded.*division by zero"):
        prepare_dataset("mnist", tmp_path)


def test_sets_to_prepare_are_those_the_script_offers():
    text = (ROOT / "scripts" / "prepare_data.py").read_text()
    assert all(f'"{name}"' in text for name in WHOLE_SETS)


def test_parts_are_drawn_by_seed_and_share_nothing():
    parts = split_examples(100, {"validation": 0.15, "test": 0.2}, seed=1)
    assert {name: len(rows) for name, rows in parts.items()} == {
        "validation": 15,
        "test": 20,
        "train": 65,
    }
    together = np.concatenate(list(parts.values()))
    assert sorted(together) == list(range(100))
    again = split_examples(100, {"validation": 0.15, "test": 0.2}, seed=1)
    other = split_examples(100, {"validation": 0.15, "test": 0.2}, seed=2)
    assert all((parts[name] == again[name]).all() for name in parts)
    assert (parts["test"] != other["test"]).any()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_part_that_would_be_empty_is_refused(count):
    with pytest.raises(
        InputError,
        match=f"{count} examples are too few. Expected 6 or more, so that each of "
        "validation, train has one",
    ):
        split_examples(count, {"validation": 0.1}, seed=0)
    assert len(split_examples(6, {"validation": 0.1}, seed=0)["validation"]) == 1


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("left", [None, "", '{"name": "mn', "{}"])
def test_half_copied_set_is_named(left, name, small_sets, tmp_path):
    folder = shutil.copytree(small_sets / "mnist", tmp_path / "mnist") / "3.0.1"
    if left is not None:
        (folder / name).write_text(left)
    elif name == "features.json":
        (folder / name).unlink()
    else:
        about = json.loads((folder / name).read_text())
        about["splits"] = about["splits"][:1]
        (folder / name).write_text(json.dumps(about))
    with pytest.raises(InputError, match=f"{folder} is no whole data set mnist"):
        open_dataset("mnist", tmp_path)


@pytest.mark.parametrize("how", ["cut short", "a bit flipped", "a record too few"])
def test_damaged_file_is_named(how, small_sets, tmp_path):
    shutil.copytree(small_sets / "mnist", tmp_path / "mnist")
    file = next(tmp_path.rglob("mnist-test.tfrecord*"))
    content = bytearray(file.read_bytes())
    if how == "cut short":
        content = content[:-20]
    elif how == "a bit flipped":
        content[len(content) // 2] ^= 1
    else:
        length = int.from_bytes(content[:8], "little")
        content = content[length + 16 :]
    file.write_bytes(content)
    builder = open_dataset("mnist", tmp_path)
    examples = builder.as_dataset(split="test").map(lambda one: (one["image"],))
    with pytest.raises(InputError, match=f"{file.name} is damaged"):
        read_arrays(examples, builder)
