"""Run a SavedModel through TensorFlow's C API.

The C API uses the same C++ loader as TensorFlow Serving. This module imports neither
the TensorFlow Python package nor Keras nor this project: a model that runs here needs
none of them. `serve_tf.saved_model_process` runs it as `python session.py FOLDER`.
"""

import ctypes
import functools
import importlib.util
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

THREADS = 16  # run the requests of one list
TF_STRING = 7
DTYPES = {  # by TF_DataType
    1: np.dtype("float32"),
    2: np.dtype("float64"),
    3: np.dtype("int32"),
    4: np.dtype("uint8"),
    5: np.dtype("int16"),
    6: np.dtype("int8"),
    TF_STRING: np.dtype("object"),  # of bytes objects
    9: np.dtype("int64"),
    10: np.dtype("bool"),
}
TF_TYPES = {dtype: number for number, dtype in DTYPES.items()}
TSTRING_BYTES = 24  # size of TF_TString


class RequestError(Exception):
    """A SavedModel was not loaded, or rejected a request."""


class Session:
    """A SavedModel, loaded through TensorFlow's C API.

    Args:
        folder: of one version, with saved_model.pb.

    Raises:
        RequestError: if it cannot be loaded.
    """

    def __init__(self, folder):
        self._tf = _load_library()
        self._graph = self._tf.TF_NewGraph()
        options, status = self._tf.TF_NewSessionOptions(), self._tf.TF_NewStatus()
        tags = (ctypes.c_char_p * 1)(b"serve")
        self._session = self._tf.TF_LoadSessionFromSavedModel(
            options, None, folder.encode(), tags, 1, self._graph, None, status
        )
        self._tf.TF_DeleteSessionOptions(options)
        self._raise_error(status)

    def run(self, feeds, fetches):
        """Run the graph once.

        Args:
            feeds: dict, tensor name ("operation:index") -> array; strings are bytes
                objects.
            fetches: names of the output tensors.

        Returns:
            One array for each of `fetches`.

        Raises:
            RequestError: with TensorFlow's message, if the graph rejects the inputs.
        """
        inputs = [_to_tensor(self._tf, array) for array in feeds.values()]
        outputs = (ctypes.c_void_p * len(fetches))()
        status = self._tf.TF_NewStatus()
        try:
            self._tf.TF_SessionRun(
                *(self._session, None, self._find(feeds)),
                *((ctypes.c_void_p * len(inputs))(*inputs), len(inputs)),
                *(self._find(fetches), outputs, len(outputs)),
                *(None, 0, None, status),  # no targets, no metadata
            )
            self._raise_error(status)
            return [_to_array(self._tf, tensor) for tensor in outputs]
        finally:
            for tensor in filter(None, (*inputs, *outputs)):
                self._tf.TF_DeleteTensor(tensor)

    def _find(self, names):
        """The C array of TF_Output for tensor names."""
        outputs = []
        for name in names:
            operation, index = name.encode().rsplit(b":", 1)
            pointer = self._tf.TF_GraphOperationByName(self._graph, operation)
            outputs.append(_Output(pointer, int(index)))
        return (_Output * len(outputs))(*outputs)

    def _raise_error(self, status):
        code, message = self._tf.TF_GetCode(status), self._tf.TF_Message(status)
        self._tf.TF_DeleteStatus(status)
        if code:
            raise RequestError(message.decode(errors="replace"))


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


def _to_tensor(tf, array):
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    tf_type = TF_TYPES[array.dtype]
    size = array.size * (TSTRING_BYTES if tf_type == TF_STRING else array.itemsize)
    tensor = tf.TF_AllocateTensor(tf_type, shape, array.ndim, size)
    data = tf.TF_TensorData(tensor)
    if tf_type != TF_STRING:
        ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        return tensor
    for index, text in enumerate(array.flat):
        pointer = data + index * TSTRING_BYTES
        tf.TF_StringInit(pointer)
        tf.TF_StringCopy(pointer, text, len(text))
    return tensor


def _to_array(tf, tensor):
    shape = tuple(tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor)))
    data, tf_type = tf.TF_TensorData(tensor), tf.TF_TensorType(tensor)
    if tf_type != TF_STRING:
        content = ctypes.string_at(data, tf.TF_TensorByteSize(tensor))
        return np.frombuffer(content, DTYPES[tf_type]).reshape(shape)
    pointers = (data + index * TSTRING_BYTES for index in range(math.prod(shape)))
    texts = [
        ctypes.string_at(tf.TF_StringGetDataPointer(text), tf.TF_StringGetSize(text))
        for text in pointers
    ]
    return np.array(texts, object).reshape(shape)


@functools.cache
def _load_library():
    """Load the C API from TensorFlow's wheel, without importing the package."""
    folder = Path(importlib.util.find_spec("tensorflow").submodule_search_locations[0])
    (file,) = folder.glob("libtensorflow_cc.*")  # .so.2, and on macOS .2.dylib
    library = ctypes.CDLL(str(file))
    pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    text = ctypes.c_char_p
    functions = {  # result, then arguments
        "NewStatus": (pointer,),
        "NewGraph": (pointer,),
        "NewSessionOptions": (pointer,),
        "DeleteStatus": (None, pointer),
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


def serve(folder, source, sink):
    """Load a SavedModel and respond to requests, each a pickle, until `source` ends.

    Args:
        folder: as in `Session`.
        source: binary file. First the signatures, {signature: {"inputs": tensors,
            "outputs": tensors}}, where tensors are {name: (tensor name, dtype, shape)}.
            Then lists of requests: pairs of a signature and its inputs, {name: array}.
        sink: binary file. First None, or the message if the SavedModel cannot be
            loaded. Then a list for each list of requests: outputs, {name: array}, or
            the message of a rejection.
    """

    def write(content):
        pickle.dump(content, sink)
        sink.flush()

    try:
        session = Session(folder)
    except RequestError as error:
        write(str(error))
        return
    write(None)
    signatures = pickle.load(source)

    def respond(request):
        name, inputs = request
        try:
            return _run(session, signatures[name], inputs)
        except RequestError as error:
            return str(error)

    with ThreadPoolExecutor(THREADS) as pool:
        while True:
            try:
                requests = pickle.load(source)
            except EOFError:
                return
            write(list(pool.map(respond, requests)))


def _run(session, signature, inputs):
    """Outputs by name, after a check of the inputs' names and dtypes."""
    tensors = signature["inputs"]
    if set(tensors) != set(inputs):
        raise RequestError(
            f"Expected inputs {sorted(tensors)}. Received: {sorted(inputs)}"
        )
    feeds = {}
    for name, (tensor, expected, _) in tensors.items():
        array = feeds[tensor] = np.asarray(inputs[name])
        received = "bytes" if array.dtype == object else array.dtype.name
        if received != expected:
            raise RequestError(f"Expected {name} as {expected}. Received: {received}")
    fetches = [tensor for tensor, _, _ in signature["outputs"].values()]
    return dict(zip(signature["outputs"], session.run(feeds, fetches), strict=True))


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
