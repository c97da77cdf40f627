"""SavedModels by TensorFlow's C API: the loader that TensorFlow Serving itself uses.

Nothing here imports TensorFlow's Python, Keras or this project: what loads here needs
none of them. The signatures are read from the MetaGraphDef, whose few fields that count
are picked out of the protocol buffer by hand.

Run as a program, `python session.py FOLDER`, it answers pickled lists of requests on
its standard input, each list from many threads at once; see `serve_tf.server`.
"""

import ctypes
import functools
import importlib.util
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

STRING = 7  # TF_STRING
NUMBERS = {  # TF_DataType to what NumPy calls it
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    9: np.int64,
    10: np.bool_,
}
TSTRING_BYTES = 24


class RequestError(Exception):
    """What TensorFlow Serving would answer instead of outputs."""


class Tensor(NamedTuple):
    """A tensor of a signature: where it is in the graph, and what fits it."""

    operation: str
    index: int
    dtype: int  # TF_DataType
    shape: tuple[int | None, ...]


class Signature(NamedTuple):
    """Names to `Tensor`s."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Session:
    """A SavedModel, loaded as TensorFlow Serving loads it.

    Args:
        folder: of one version, with saved_model.pb.

    Attributes:
        signatures: name to `Signature`.

    Raises:
        RequestError: if it cannot be loaded.
    """

    def __init__(self, folder):
        self._tf = _library()
        status, graph, meta = (
            getattr(self._tf, f"TF_New{what}")()
            for what in ("Status", "Graph", "Buffer")
        )
        options = self._tf.TF_NewSessionOptions()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = self._tf.TF_LoadSessionFromSavedModel(
            options, None, str(folder).encode(), tags, 1, graph, meta, status
        )
        self._graph = graph
        self._check(status)
        buffer = ctypes.cast(meta, ctypes.POINTER(_Buffer)).contents
        self.signatures = read_signatures(ctypes.string_at(buffer.data, buffer.length))
        self._tf.TF_DeleteBuffer(meta)
        self._tf.TF_DeleteSessionOptions(options)

    def run(self, signature, inputs):
        """The outputs of a signature.

        Args:
            signature: its name.
            inputs: name to array of the input's dtype; for strings, of bytes objects.

        Returns:
            Name to array.

        Raises:
            RequestError: with TensorFlow's message, if the request is refused.
        """
        wanted = self.signatures[signature]
        given = {name: np.asarray(value) for name, value in inputs.items()}
        _check_request(wanted.inputs, given)
        fed = [_to_tensor(self._tf, wanted.inputs[name], given[name]) for name in given]
        places = [self._place(wanted.inputs[name]) for name in given]
        fetched = [self._place(tensor) for tensor in wanted.outputs.values()]
        answers = (ctypes.c_void_p * len(fetched))()
        status = self._tf.TF_NewStatus()
        try:
            self._tf.TF_SessionRun(
                self._session,
                None,
                (_Output * len(places))(*places),
                (ctypes.c_void_p * len(fed))(*fed),
                len(fed),
                (_Output * len(fetched))(*fetched),
                answers,
                len(fetched),
                None,
                0,
                None,
                status,
            )
            self._check(status)
            return {
                name: _to_array(self._tf, answer)
                for name, answer in zip(wanted.outputs, answers, strict=True)
            }
        finally:
            for tensor in (*fed, *answers):
                if tensor:
                    self._tf.TF_DeleteTensor(tensor)

    def _place(self, tensor):
        name = tensor.operation.encode()
        return _Output(
            self._tf.TF_GraphOperationByName(self._graph, name), tensor.index
        )

    def _check(self, status):
        code, message = self._tf.TF_GetCode(status), self._tf.TF_Message(status)
        message = message.decode(errors="replace")
        self._tf.TF_DeleteStatus(status)
        if code:
            raise RequestError(message)


def read_signatures(meta_graph_def):
    """The signatures in the bytes of a MetaGraphDef, name to `Signature`."""
    entries = (_fields(entry) for entry in _fields(meta_graph_def).get(5, ()))
    signatures = {}
    for entry in entries:
        name, signature = entry[1][0].decode(), _fields(entry[2][0])
        if name.startswith("__"):  # what initialises the graph
            continue
        inputs, outputs = (
            dict(map(_read_tensor, map(_fields, signature.get(number, ()))))
            for number in (1, 2)
        )
        signatures[name] = Signature(inputs, outputs)
    return signatures


def _read_tensor(entry):
    info = _fields(entry[2][0])
    operation, index = info[1][0].decode().rsplit(":", 1)
    sizes = [
        _signed(_fields(size).get(1, (0,))[0])
        for size in _fields(info[3][0] if 3 in info else b"").get(2, ())
    ]
    shape = tuple(None if size < 0 else size for size in sizes)
    return entry[1][0].decode(), Tensor(operation, int(index), info[2][0], shape)


def _fields(message):
    """The fields of a protocol buffer: number to list of whole numbers or bytes."""
    fields, at = {}, 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
        elif kind == 2:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        else:
            length = {1: 8, 5: 4}[kind]
            value, at = message[at : at + length], at + length
        fields.setdefault(number, []).append(value)
    return fields


def _varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _signed(value):
    return value - (1 << 64) if value >> 63 else value


def _check_request(wanted, given):
    if set(wanted) != set(given):
        raise RequestError(
            f"Expected inputs {sorted(wanted)}. Received: {sorted(given)}"
        )
    for name, tensor in wanted.items():
        array = given[name]
        fits = (
            array.dtype.kind == "O"
            if tensor.dtype == STRING
            else (array.dtype == NUMBERS[tensor.dtype])
        )
        if not fits:
            expected = (
                "bytes"
                if tensor.dtype == STRING
                else (np.dtype(NUMBERS[tensor.dtype]).name)
            )
            raise RequestError(
                f"Expected {name} as {expected}. Received: {array.dtype.name}"
            )


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    ]


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def _to_tensor(tf, wanted, array):
    dtype = wanted.dtype
    size = TSTRING_BYTES if dtype == STRING else array.itemsize
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tensor = tf.TF_AllocateTensor(dtype, shape, array.ndim, array.size * size)
    data = tf.TF_TensorData(tensor)
    if dtype != STRING:
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return tensor
    for number, text in enumerate(array.flat):
        place = data + number * TSTRING_BYTES
        tf.TF_StringInit(place)
        tf.TF_StringCopy(place, text, len(text))
    return tensor


def _to_array(tf, tensor):
    shape = tuple(tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor)))
    data, dtype = tf.TF_TensorData(tensor), tf.TF_TensorType(tensor)
    if dtype != STRING:
        content = ctypes.string_at(data, tf.TF_TensorByteSize(tensor))
        return np.frombuffer(content, NUMBERS[dtype]).reshape(shape)
    places = (data + number * TSTRING_BYTES for number in range(math.prod(shape)))
    texts = [
        ctypes.string_at(tf.TF_StringGetDataPointer(place), tf.TF_StringGetSize(place))
        for place in places
    ]
    return np.array(texts, object).reshape(shape)


@functools.cache
def _library():
    """The C API in TensorFlow's wheel, whose package is found but not imported."""
    folder = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0])
    (file,) = folder.glob("libtensorflow_cc.*")  # .so.2, and on macOS .2.dylib
    library = ctypes.CDLL(str(file))
    pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    text = ctypes.c_char_p
    functions = {
        "NewStatus": (pointer,),
        "NewGraph": (pointer,),
        "NewBuffer": (pointer,),
        "NewSessionOptions": (pointer,),
        "DeleteStatus": (None, pointer),
        "DeleteBuffer": (None, pointer),
        "DeleteSessionOptions": (None, pointer),
        "DeleteTensor": (None, pointer),
        "GetCode": (number, pointer),
        "Message": (text, pointer),
        "LoadSessionFromSavedModel": (
            *(pointer, pointer, pointer, text, pointer, number),
            *(pointer, pointer, pointer),
        ),
        "GraphOperationByName": (pointer, pointer, text),
        "SessionRun": (
            *(None, pointer, pointer, pointer, pointer, number),
            *(pointer, pointer, number, pointer, number, pointer, pointer),
        ),
        "AllocateTensor": (pointer, number, pointer, number, size),
        "TensorData": (pointer, pointer),
        "TensorType": (number, pointer),
        "TensorByteSize": (size, pointer),
        "NumDims": (number, pointer),
        "Dim": (ctypes.c_int64, pointer, number),
        "StringInit": (None, pointer),
        "StringCopy": (None, pointer, text, size),
        "StringGetDataPointer": (pointer, pointer),
        "StringGetSize": (size, pointer),
    }
    for name, (result, *arguments) in functions.items():
        function = getattr(library, f"TF_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def serve(folder, requests, answers, threads=16):
    """Answer lists of requests until there are no more.

    Args:
        folder: as in `Session`.
        requests: a file to read pickled lists from, of pairs: a signature's name and
            its inputs.
        answers: a file to write to: first the signatures as plain dicts, or why there
            are none; then for each list the same of outputs, name to array, or of a
            message in their place.
        threads: how many requests of a list run at once.
    """

    def write(content):
        pickle.dump(content, answers)
        answers.flush()

    try:
        session = Session(folder)
    except RequestError as error:
        write(str(error))
        return

    def answer(request):
        try:
            return session.run(*request)
        except RequestError as error:
            return str(error)

    write({name: _plain(signature) for name, signature in session.signatures.items()})
    with ThreadPoolExecutor(threads) as pool:
        while True:
            try:
                batch = pickle.load(requests)
            except EOFError:
                return
            write(list(pool.map(answer, batch)))


def _plain(signature):
    return {
        side: {
            name: ("bytes" if dtype == STRING else np.dtype(NUMBERS[dtype]).name, shape)
            for name, (_, _, dtype, shape) in tensors.items()
        }
        for side, tensors in signature._asdict().items()
    }


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
