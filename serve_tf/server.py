"""A SavedModel in a process of its own, which has none of TensorFlow's Python."""

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from serve_tf import session
from train_tf.errors import InputError


class Refused(Exception):
    """A request that was refused; its message says why."""


class Server:
    """A SavedModel as TensorFlow Serving would have it. A context manager.

    Args:
        folder: of one version, with saved_model.pb.

    Attributes:
        signatures: name to {"inputs": tensors, "outputs": tensors}, the tensors name to
            (dtype, shape).
        pid: of the process.

    Raises:
        InputError: if it cannot be loaded.

    Example:
        >>> with Server("saved_models/unet_maxpool_transpose_dice/1") as server:
        ...     outputs = server.ask("serving_default", {"image": images})
    """

    def __init__(self, folder):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # -P: the folder of the program is no place to import from.
        command = [sys.executable, "-P", session.__file__, str(Path(folder).resolve())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.pid = self._process.pid
        try:
            self.signatures = self._receive()
            if isinstance(self.signatures, str):
                raise InputError(f"TensorFlow cannot load {folder}: {self.signatures}")
        except InputError:
            self.close()
            raise

    def ask(self, signature, inputs):
        """The outputs of one request, name to array.

        Args:
            signature: its name.
            inputs: name to array of the input's dtype; for strings, of bytes objects.

        Raises:
            Refused: if the SavedModel refuses it.
        """
        (answer,) = self.ask_at_once([(signature, inputs)])
        if isinstance(answer, Refused):
            raise answer
        return answer

    def ask_at_once(self, requests):
        """Send requests from many threads.

        Args:
            requests: pairs, as the arguments of `ask`.

        Returns:
            A list of outputs, as `ask` gives them, or of `Refused` in their place.
        """
        pickle.dump(list(requests), self._process.stdin)
        self._process.stdin.flush()
        answers = self._receive()
        return [Refused(x) if isinstance(x, str) else x for x in answers]

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

    def _receive(self):
        try:
            return pickle.load(self._process.stdout)
        except EOFError:
            self._process.wait()
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip()
            raise InputError(
                f"TensorFlow's loader of SavedModels ended: {said[-2000:]}"
            ) from None
