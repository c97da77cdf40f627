"""Run a SavedModel in a process without the TensorFlow Python package."""

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from serve_tf import session
from train_tf.errors import InputError


class RequestRejected(Exception):
    """A request was rejected; the message says why."""


class SavedModelProcess:
    """A SavedModel loaded in a separate process through TensorFlow's C API.

    A context manager, which ends the process.

    Args:
        folder: of one version, with saved_model.pb.

    Attributes:
        signatures: {signature: {"inputs": tensors, "outputs": tensors}}, where tensors
            are {name: (dtype, shape)}; the dtype of strings is "bytes".
        pid: of the process.

    Raises:
        InputError: if the SavedModel cannot be loaded.

    Example:
        >>> folder = "saved_models/pets_maxpool_transpose_dice/1"
        >>> with SavedModelProcess(folder) as process:
        ...     outputs = process.predict("serving_default", {"image": images})
    """

    def __init__(self, folder):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # -P: import nothing from session.py's own folder.
        command = [sys.executable, "-P", session.__file__, str(Path(folder).resolve())]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, stderr=self._log, **pipes)
        self.pid = self._process.pid
        try:
            if error := self._receive():
                raise InputError(f"TensorFlow cannot load {folder}: {error}")
            signatures = _read_signatures(folder)
            self._send(signatures)
        except Exception:
            self.close()
            raise
        self.signatures = {
            name: {
                side: {key: tensor[1:] for key, tensor in tensors.items()}
                for side, tensors in signature.items()
            }
            for name, signature in signatures.items()
        }

    def predict(self, signature, inputs):
        """Send one request.

        Args:
            signature: its name.
            inputs: dict, name -> array of the input's dtype; strings are bytes objects.

        Returns:
            Dict, name -> array.

        Raises:
            RequestRejected: if the SavedModel rejects the request.
        """
        (outputs,) = self.predict_concurrently([(signature, inputs)])
        if isinstance(outputs, RequestRejected):
            raise outputs
        return outputs

    def predict_concurrently(self, requests):
        """Send requests from several threads.

        Args:
            requests: pairs, the arguments of `predict`.

        Returns:
            A list: for each request its outputs, or a `RequestRejected`.
        """
        self._send(list(requests))
        return [
            RequestRejected(x) if isinstance(x, str) else x for x in self._receive()
        ]

    def close(self):
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, content):
        pickle.dump(content, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self):
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            self._process.wait()
            self._log.seek(0)
            message = self._log.read().decode(errors="replace").strip()
            raise InputError(
                f"TensorFlow's loader of SavedModels ended: {message[-2000:]}"
            ) from None


def _read_signatures(folder):
    """The signatures in saved_model.pb, as `session.serve` takes them."""
    content = (Path(folder) / "saved_model.pb").read_bytes()
    (graph,) = (
        graph
        for graph in SavedModel.FromString(content).meta_graphs
        if graph.meta_info_def.tags == ["serve"]
    )
    return {
        name: {
            "inputs": _describe(signature.inputs),
            "outputs": _describe(signature.outputs),
        }
        for name, signature in graph.signature_def.items()
        if not name.startswith("__")  # these initialise the graph
    }


def _describe(tensors):
    """Name to (tensor name, dtype, shape) of a map of TensorInfo."""
    described = {}
    for name, info in tensors.items():
        dtype = tf.as_dtype(info.dtype)
        shape = (None if size.size < 0 else size.size for size in info.tensor_shape.dim)
        dtype = "bytes" if dtype == tf.string else dtype.name
        described[name] = (info.name, dtype, tuple(shape))
    return described
