"""Writes are atomic."""

import errno
import json

import pytest

from train_tf import files
from train_tf.errors import InputError
from train_tf.files import (
    atomic_write,
    read_json,
    remove_leftovers,
    write_json,
    write_text,
)


def test_file_is_replaced_whole(tmp_path):
    write_text(tmp_path / "a" / "x.txt", "old")
    write_text(tmp_path / "a" / "x.txt", "new")
    assert (tmp_path / "a" / "x.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.txt"]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "x.txt", "old")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "x.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "x.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_folder_appears_only_when_it_is_whole(tmp_path):
    with atomic_write(tmp_path / "folder") as partial:
        (partial / "deep").mkdir(parents=True)
        (partial / "deep" / "file").write_text("x")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "deep" / "file").read_text() == "x"


def test_folder_that_fails_is_gone(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        atomic_write(tmp_path / "folder") as partial,
    ):
        partial.mkdir()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_ending_is_kept_for_those_who_choose_the_format_by_it(tmp_path):
    with atomic_write(tmp_path / "x.weights.h5") as partial:
        assert partial.name.endswith(".weights.h5")
        partial.touch()


def test_json_is_readable_and_comes_back(tmp_path):
    content = {"name": "Kätzchen", "values": [1, 2.5, None]}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == content and "Kätzchen" in text and text.endswith("}\n")


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".partial-a").mkdir()
    (tmp_path / ".partial-b.txt").touch()
    (tmp_path / "other").touch()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize("name", ["folder", "a[1]-x.png"])
def test_leftover_of_a_killed_writer_is_replaced_and_others_stay(name, tmp_path):
    leftover = tmp_path / f".partial-{name}"
    leftover.mkdir()
    (leftover / "half").touch()
    other = tmp_path / ".partial-another"
    other.mkdir()
    with atomic_write(tmp_path / name) as partial:
        partial.mkdir()
    assert {*tmp_path.iterdir()} == {tmp_path / name, other}
    assert not list((tmp_path / name).iterdir())


def test_folder_that_is_removed_is_whole_or_a_leftover(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()

    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            files.remove_atomically(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_full_disk_is_told_as_such_whatever_the_library_says(tmp_path):
    with (
        pytest.raises(OSError, match="No space left on device.*x.h5") as raised,
        atomic_write(tmp_path / "x.h5") as partial,
    ):
        partial.touch()
        raise RuntimeError("flush failed (errno = 28, No space left on device)")
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"nothing"])
def test_file_that_is_no_json_object_is_named(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="config.json"):
        read_json(tmp_path / "config.json")
