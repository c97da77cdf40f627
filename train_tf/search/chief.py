"""The chief of a search as a service for its workers, which knows who is still there.

keras-tuner's service does the work; its own loop would wait for a lost worker for ever.
"""

import concurrent.futures
import contextlib
import os
import tempfile
import threading
import time

import grpc
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from train_tf.errors import InputError, WorkerLost

HEARTBEAT_SECONDS = 10


def serve(oracle, patience):
    """Hand out an oracle's trials until all workers that came know that it is over.

    Args:
        oracle: a `keras_tuner.Oracle`.
        patience: seconds without a word after which a worker is lost.

    Raises:
        InputError: if the address in the environment cannot be listened at.
        WorkerLost: if a worker is, or none came.
    """
    address = "{KERASTUNER_ORACLE_IP}:{KERASTUNER_ORACLE_PORT}".format(**os.environ)
    heard = _heard_of(oracle)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)]
    )
    protos.get_service_grpc().add_OracleServicer_to_server(
        OracleServicer(oracle), server
    )
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise InputError(
            f"Expected an address of this machine with a free port. Received: {address}"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        BaseTuner(oracle, directory=folder)  # where the oracle keeps its own files
        server.start()
        _wait_until_all_left(heard, patience, server)


def _wait_until_all_left(heard, patience, server):
    try:
        while heard:
            time.sleep(0.5)
            now = time.monotonic()
            lost = [who for who, last in heard.copy().items() if now > last + patience]
            if lost:
                raise WorkerLost(
                    f"The search has not heard of {', '.join(lost)} for "
                    f"{patience} seconds. Start all again with --resume."
                )
    finally:
        server.stop(grace=1).wait()


@contextlib.contextmanager
def heartbeat(oracle, trial):
    """Within it, the chief hears that the worker with this trial is there."""
    ended = threading.Event()

    def beat():
        while not ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(grpc.RpcError):  # said by the worker itself
                oracle.get_trial(trial.trial_id)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _heard_of(oracle):
    """When the oracle last heard of each worker that is not yet told to stop.

    A dict that goes on changing; at first "any worker" is waited for.
    """
    heard = {"any worker": time.monotonic()}

    def create_trial(tuner, of_oracle=oracle.create_trial):
        heard[tuner] = time.monotonic()
        heard.pop("any worker", None)
        trial = of_oracle(tuner)
        if trial.status == TrialStatus.STOPPED:
            del heard[tuner]
        return trial

    def get_trial(number, of_oracle=oracle.get_trial):
        for tuner, trial in oracle.ongoing_trials.copy().items():
            if trial.trial_id == number:
                heard[tuner] = time.monotonic()
        return of_oracle(number)

    oracle.create_trial, oracle.get_trial = create_trial, get_trial
    return heard
