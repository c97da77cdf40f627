"""The chief serves its workers to the end, but does not wait for lost ones."""

import socket
import threading
import time
from types import SimpleNamespace

import keras_tuner
import pytest
from keras_tuner.src.distribute.oracle_client import OracleClient

from train_tf.distributed.launch import search_environments
from train_tf.errors import InputError, WorkerLost
from train_tf.search import chief as module
from train_tf.search.chief import heartbeat, serve


@pytest.fixture
def oracle(monkeypatch):
    """An oracle of one trial, and the environment of its chief."""
    for name, value in search_environments(1)[-1].items():
        monkeypatch.setenv(name, value)
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Int("sides", 3, 9)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("beauty", "max"), 1, hyperparameters=hyperparameters
    )
    oracle.verbose = 0
    return oracle


def worker(oracle, train):
    """A thread that works as a keras-tuner worker until the oracle says stop."""

    def work():
        client = OracleClient(oracle)
        while (trial := client.create_trial("worker-0")).status == "RUNNING":
            train(client, trial)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def finish(client, trial):
    client.update_trial(trial.trial_id, {"beauty": 1.0})
    trial.status = "COMPLETED"
    client.end_trial(trial)


@pytest.fixture
def clock(monkeypatch):
    """The chief's clock, set by the test: a busy machine does not change the result."""
    clock = SimpleNamespace(now=0, monotonic=lambda: clock.now, sleep=time.sleep)
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_trials_longer_than_timeout_are_waited_for(oracle, clock, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.2)
    heard = threading.Event()
    get_trial = oracle.get_trial
    oracle.get_trial = lambda number: heard.set() or get_trial(number)

    def train(client, trial):
        with heartbeat(client, trial):
            for _ in range(6):
                clock.now += 4
                heard.clear()
                assert heard.wait(60)
        finish(client, trial)

    thread = worker(oracle, train)
    serve(oracle, timeout=10)
    thread.join(10)
    assert not thread.is_alive()
    assert [trial.score for trial in oracle.trials.values()] == [1]


def test_worker_that_falls_silent_is_named(oracle, clock):
    def fall_silent(client, trial):
        clock.now = 9
        time.sleep(60)

    worker(oracle, fall_silent)
    with pytest.raises(
        WorkerLost, match="No request from worker-0 for 8 seconds.*resume"
    ):
        serve(oracle, timeout=8)


def test_workers_that_never_come_are_not_waited_for(oracle):
    with pytest.raises(WorkerLost, match="No request from any worker for 0.1 seconds"):
        serve(oracle, timeout=0.1)


def test_port_that_is_in_use_is_rejected(oracle, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", port)
        with pytest.raises(InputError, match=f"free port. Received: 127.0.0.1:{port}"):
            serve(oracle, timeout=5)
