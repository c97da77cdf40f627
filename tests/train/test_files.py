"""Files are whole and new, or as they were."""

import errno
import json
import subprocess

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
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "x.txt") as beside:
        beside.write_text("half")
        raise RuntimeError
    assert (tmp_path / "x.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_folder_appears_only_when_it_is_whole(tmp_path):
    with atomic_write(tmp_path / "folder") as beside:
        (beside / "deep").mkdir(parents=True)
        (beside / "deep" / "file").write_text("x")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "deep" / "file").read_text() == "x"


def test_folder_that_fails_is_gone(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        atomic_write(tmp_path / "folder") as beside,
    ):
        beside.mkdir()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_ending_is_kept_for_those_who_choose_the_format_by_it(tmp_path):
    with atomic_write(tmp_path / "x.weights.h5") as beside:
        assert beside.name.endswith(".weights.h5")
        beside.touch()


def test_json_is_readable_and_comes_back(tmp_path):
    content = {"name": "Kätzchen", "values": [1, 2.5, None]}
    write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == content and "Kätzchen" in text and text.endswith("}\n")


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    (tmp_path / ".writing-1-a").mkdir()
    (tmp_path / ".writing-2-b.txt").touch()
    (tmp_path / "kept").touch()
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["folder", "a[1]-x.png"])
def test_what_a_killed_writer_left_goes_and_what_another_writes_stays(name, tmp_path):
    with subprocess.Popen(["sleep", "600"]) as other:
        left = tmp_path / f".writing-{2**22 + 1}-{name}"  # above all process numbers
        alive = tmp_path / f".writing-{other.pid}-{name}"
        elsewhere = tmp_path / f".writing-{2**22 + 1}-another"
        strange = tmp_path / ".writing-anything"
        for folder in (left, alive, elsewhere, strange):
            folder.mkdir()
        with atomic_write(tmp_path / name) as beside:
            beside.mkdir()
        other.kill()
    assert {*tmp_path.iterdir()} == {tmp_path / name, alive, elsewhere, strange}


def test_folder_that_is_removed_is_whole_or_a_leftover(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()

    def killed(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            files.remove(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_full_disk_is_told_as_such_whatever_the_library_says(tmp_path):
    with (
        pytest.raises(OSError, match="No space left on device.*x.h5") as raised,
        atomic_write(tmp_path / "x.h5") as beside,
    ):
        beside.touch()
        raise RuntimeError("flush failed (errno = 28, No space left on device)")
    assert raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"nothing"])
def test_file_that_is_no_json_object_is_named(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="config.json"):
        read_json(tmp_path / "config.json")
