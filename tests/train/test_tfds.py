"""Prepared data sets open without a network; downloads and damage are reported."""

import json
import shutil
import socket

import pytest
import tensorflow_datasets as tfds

from train_tf.data.tfds import open_dataset, prepare_dataset, read_arrays
from train_tf.errors import InputError


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("oxford_iiit_pet", 301, 298),
        ("mnist", 10_000, 2_000),
        ("cifar10", 5_000, 1_000),
    ],
)
def test_bundled_sets_open_without_a_network(name, train, test, monkeypatch, capsys):
    def reject(*_):
        raise AssertionError("opened a connection")

    monkeypatch.setattr(socket.socket, "connect", reject)
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
    with pytest.raises(InputError, match=f"the complete data set mnist in {folder}"):
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
