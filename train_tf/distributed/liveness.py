"""Which workers of a training answer; as a program, ends a worker that waits too long.

While TensorFlow waits for the other workers to come, Python stands still: no thread, no
Ctrl-C, no timer. So another process looks at the clock.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

# How HTTP/2, which gRPC speaks, begins: the preface, and settings without any.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def unanswering(others):
    """Those that do not answer.

    Args:
        others: number to address of workers.

    Returns:
        A list of numbers.
    """
    return [number for number, address in others.items() if not _answers(address)]


def named(numbers, others):
    """Workers by number and address, for a message."""
    return ", ".join(f"worker {number} ({others[number]})" for number in numbers)


def did_not_come(workers, index, seconds):
    """The sentence for workers that did not come together.

    Args:
        workers: addresses of all.
        index: which of them this one is.
        seconds: how long it waited.
    """
    others = {n: address for n, address in enumerate(workers) if n != index}
    return (
        f"The {len(workers)} workers of TF_CONFIG did not come together within "
        f"{seconds} seconds. No answer from: "
        f"{named(unanswering(others), others) or 'none that would be silent now'}. "
        "Start all again."
    )


@contextlib.contextmanager
def patience(workers, index, seconds):
    """Within it, this process is killed, with a sentence, when it takes too long.

    Args:
        workers, index, seconds: as for `did_not_come`.
    """
    command = [sys.executable, "-I", __file__, os.getpid(), index, seconds, *workers]
    with subprocess.Popen(map(str, command), stdin=subprocess.PIPE):
        yield


def _answers(address):
    """Whether a worker says a word; a stopped one still lets itself be connected to."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=3) as connection:
            connection.sendall(GREETING)
            return bool(connection.recv(1))
    except OSError:
        return False


def _guard(process, index, seconds, *workers):
    # What there is to read is the end of the pipe: it came in time, or is gone.
    if not select.select([sys.stdin], [], [], float(seconds))[0]:
        told = did_not_come(workers, int(index), seconds)
        print(f"error: {told}", file=sys.stderr, flush=True)
        os.kill(int(process), signal.SIGKILL)


if __name__ == "__main__":
    _guard(*sys.argv[1:])
