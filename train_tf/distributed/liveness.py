"""Find workers that do not answer; end a worker that waits too long for them.

While TensorFlow waits for the other workers to connect, it blocks the whole Python
process: no other thread runs, no Ctrl-C, no timer. So this file also runs as a program
that measures the time.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

# The start of an HTTP/2 connection, which gRPC uses: preface and empty settings.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def find_silent(workers):
    """List the workers that do not answer, of a dict of number to "host:port"."""
    return [number for number, address in workers.items() if not _answers(address)]


def describe_workers(numbers, addresses):
    """Workers by number and address, for a message."""
    return ", ".join(f"worker {number} ({addresses[number]})" for number in numbers)


def start_message(addresses, index, seconds):
    """The error of worker `index`, which waited `seconds` for all to connect."""
    others = {n: address for n, address in enumerate(addresses) if n != index}
    silent = describe_workers(find_silent(others), others)
    return (
        f"The {len(addresses)} workers of TF_CONFIG did not connect within "
        f"{seconds} seconds. Workers that do not answer now: {silent or 'none'}. "
        "Start all workers again."
    )


@contextlib.contextmanager
def start_timeout(addresses, index, seconds):
    """Kill this process, with `start_message`, if this context takes too long."""
    command = [sys.executable, "-I", __file__, os.getpid(), index, seconds, *addresses]
    with subprocess.Popen(map(str, command), stdin=subprocess.PIPE):
        yield


def _answers(address):
    """Whether a worker replies; a stopped process still accepts connections."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=3) as connection:
            connection.sendall(GREETING)
            return bool(connection.recv(1))
    except OSError:
        return False


def _kill_after_timeout(process_id, index, seconds, *addresses):
    # stdin becomes readable when the pipe closes: the worker connected or ended.
    if not select.select([sys.stdin], [], [], float(seconds))[0]:
        message = start_message(addresses, int(index), seconds)
        print(f"error: {message}", file=sys.stderr, flush=True)
        os.kill(int(process_id), signal.SIGKILL)


if __name__ == "__main__":
    _kill_after_timeout(*sys.argv[1:])
