"""The table of what was done to trainings and what was lost; a pytest plugin."""

from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parents[2] / "results" / "faults.md"
COMMAND = "python -m pytest tests/faults -m slow --numprocesses 0"
rows = []


@pytest.fixture
def record():
    """Notes a row of the table: what was done, how often, and what was lost."""
    return lambda fault, times, lost: rows.append((fault, times, lost))


def pytest_sessionfinish(session, exitstatus):
    whole = {Path(item.fspath).name for item in session.items} >= {
        "test_faults_at_doors.py",
        "test_faults_of_workers.py",
        "test_faults_on_one_machine.py",
    }
    if not rows or exitstatus or not whole:
        return
    lines = ["| what was done to a training | times | what was lost |", "|---|---|---|"]
    lines += [f"| {fault} | {times} | {lost} |" for fault, times, lost in rows]
    TABLE.write_text(f"# Faults\n\n    {COMMAND}\n\n" + "\n".join(lines) + "\n")
