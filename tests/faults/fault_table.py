"""A pytest plugin that writes results/faults.md: failures tested and what they cost."""

from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[2] / "results" / "faults.md"
COMMAND = "python -m pytest tests/faults -m slow --numprocesses 0"
FILES = {
    "test_faults_of_inputs.py",
    "test_faults_of_workers.py",
    "test_faults_on_one_machine.py",
}
rows = []


@pytest.fixture
def record():
    """A function that adds a row: the failure, how often it was tested, the outcome."""
    return lambda *row: rows.append(row)


def pytest_sessionfinish(session, exitstatus):
    complete = {Path(item.fspath).name for item in session.items} >= FILES
    if not rows or exitstatus or not complete:
        return
    lines = ["| failure | times tested | outcome |", "|---|---|---|"]
    lines += [
        f"| {failure} | {times} | {outcome} |" for failure, times, outcome in rows
    ]
    TABLE.write_text(f"# Faults\n\n    {COMMAND}\n\n" + "\n".join(lines) + "\n")
