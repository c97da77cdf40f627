"""The chief of a search: it hands out trials, and notices when a worker is lost.

keras-tuner's own service does the work, but it waits for a lost worker forever.
"""

import contextlib
import os
import re
import socket
import tempfile
import threading
import time

import grpc
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from train_tf.errors import InputError, WorkerLost

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
HEARTBEAT_SECONDS = 10


def role():
    """The role that keras-tuner's variables give this process.

    Returns:
        "alone" without the variables, "chief", or "worker".

    Raises:
        InputError: if some variables are missing or the port is invalid.
    """
    values = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not values:
        return "alone"
    tuner_id, _, port = (values.get(name, "") for name in VARIABLES)
    valid_port = re.fullmatch(r"\d{1,5}", port) and int(port) < 65_536
    if len(values) < len(VARIABLES) or not valid_port:
        raise InputError(
            f"Expected {', '.join(VARIABLES)} in the environment: chief or a unique "
            f"worker name, the chief's address, and its port. Received: {values}"
        )
    return "chief" if tuner_id == "chief" else "worker"


def serve(oracle, timeout):
    """Serve trials until every worker knows that the search is over.

    Args:
        oracle: a `keras_tuner.Oracle`.
        timeout: seconds without a request after which a worker counts as lost.

    Raises:
        InputError: if the chief's address is not a free one of this machine.
        WorkerLost: if a worker is lost, or none came.
    """
    _check_address()
    last_request = _record_requests(oracle)
    with tempfile.TemporaryDirectory() as folder:
        tuner = BaseTuner(oracle, directory=folder)
        server = threading.Thread(target=tuner.search, daemon=True)
        server.start()
        while last_request:
            time.sleep(0.5)
            oldest = time.monotonic() - timeout
            lost = [x for x, last in last_request.copy().items() if last < oldest]
            if lost:
                raise WorkerLost(
                    f"No request from {', '.join(lost)} for {timeout} seconds. Start "
                    "all processes again with --resume."
                )
        server.join(1)  # for the last response to be sent


@contextlib.contextmanager
def heartbeat(oracle, trial):
    """Inside this context, tell the chief regularly that this worker is alive."""
    stop = threading.Event()

    def beat():
        while not stop.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(grpc.RpcError):  # the worker's own requests report
                oracle.get_trial(trial.trial_id)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def _check_address():
    """Reject a port that is in use, which gRPC would share with another chief."""
    host, port = (os.environ[name] for name in VARIABLES[1:])
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise InputError(
            "Expected an address of this machine with a free port. "
            f"Received: {host}:{port}"
        ) from error


def _record_requests(oracle):
    """Record when each worker last sent a request.

    Returns:
        A dict that changes with each request: worker to `time.monotonic()`. "any
        worker" is a key until one comes; a worker whose search is over is removed.
    """
    last_request = {"any worker": time.monotonic()}
    create, get = oracle.create_trial, oracle.get_trial

    def create_trial(worker):
        last_request[worker] = time.monotonic()
        last_request.pop("any worker", None)
        trial = create(worker)
        if trial.status == TrialStatus.STOPPED:
            del last_request[worker]
        return trial

    def get_trial(trial_id):
        for worker, trial in oracle.ongoing_trials.items():
            if trial.trial_id == trial_id:
                last_request[worker] = time.monotonic()
        return get(trial_id)

    oracle.create_trial, oracle.get_trial = create_trial, get_trial
    return last_request
