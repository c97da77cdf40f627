"""Convert SavedModels to other runtimes: ONNX Runtime, LiteRT and OpenVINO.

Only `serving_default` is converted: for images of the network's own size, any batch
size, and without checks of the inputs. An output with the name of an input gets the
suffix "_out", because runtimes need distinct names. The runtimes' packages, in
requirements-export.txt, are imported only where they are used.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from train_tf.errors import InputError
from train_tf.export import load
from train_tf.files import DISK_FULL, atomic_write

THREADS = 2


class Runtime(NamedTuple):
    """How a model is converted for a runtime and loaded in it.

    file: name of the file that the runtime loads; empty for the folder itself.
    convert: takes the folder of a SavedModel, the file to write, and requests (dicts,
        name -> array) to calibrate int8 on, or None for float32.
    load: takes the file; returns a function from a request to outputs, both dicts,
        name -> array.
    """

    file: str
    convert: Callable
    load: Callable


def export_to(runtime, model, out, calibration=None):
    """Convert a SavedModel to a runtime.

    Args:
        runtime: one of `RUNTIMES`.
        model: saved_models/<name> or <name>/<version>.
        out: the folder to write; it must not exist.
        calibration: requests to calibrate int8 on, dicts, name -> array; None for
            float32.

    Returns:
        The file that the runtime loads.

    Raises:
        InputError: if the packages are missing, `out` exists, or the runtime does not
            support the model.
    """
    file, convert, _ = RUNTIMES[runtime]
    out = Path(out)
    if out.exists():
        raise InputError(
            f"{out} exists already. Remove it, or choose another output folder (--out)."
        )
    with (
        _input_errors(runtime),
        tempfile.TemporaryDirectory() as folder,
        atomic_write(out) as partial,
    ):
        _save_default_signature(model, folder)
        partial.mkdir()
        convert(folder, partial / file, calibration)
    return out / file


def load_from(runtime, file):
    """Load a converted model.

    Returns:
        A function from a request, dict, name -> array, to outputs, dict, name -> array.

    Raises:
        InputError: if the packages are missing, or the file cannot be loaded.
    """
    with _input_errors(runtime):
        return RUNTIMES[runtime].load(str(file))


def _save_default_signature(model, folder):
    """Save `serving_default` alone, for images of the network's size."""
    loaded, description = load(model)
    signature = loaded.signatures["serving_default"]
    specs = dict(signature.structured_input_signature[1])
    if description["kind"] == "UNet":
        shape = (None, description["image_size"], description["image_size"], 3)
        specs["image"] = tf.TensorSpec(shape, tf.float32, "image")
    module = tf.Module()
    module.loaded = loaded  # its variables are saved too
    module.call = tf.function(
        lambda **inputs: {
            f"{name}_out" if name in inputs else name: tensor
            for name, tensor in signature(**inputs).items()
        }
    )
    concrete = module.call.get_concrete_function(**specs)
    tf.saved_model.save(module, folder, signatures={"serving_default": concrete})


def _copy_saved_model(folder, file, calibration):
    if calibration is not None:
        raise InputError(
            "A SavedModel computes in float32; int8 is for the other runtimes."
        )
    shutil.copytree(folder, file, dirs_exist_ok=True)


def _load_saved_model(file):
    loaded = tf.saved_model.load(file)

    def run(request):
        tensors = {name: tf.constant(values) for name, values in request.items()}
        outputs = loaded.signatures["serving_default"](**tensors)
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


def _convert_to_onnx(folder, file, calibration):
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from onnxruntime import quantization

    patch_tf2onnx()  # Keras's fix of tf2onnx for NumPy 2; it has no public name
    loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    function = tf.function(
        lambda *inputs: signature(**dict(zip(specs, inputs, strict=True)))
    )
    tf2onnx.convert.from_function(
        function, list(specs.values()), opset=18, output_path=str(file)
    )
    if calibration is None:
        return

    class Requests(quantization.CalibrationDataReader):
        requests = iter(calibration)

        def get_next(self):
            return next(self.requests, None)

    prepared = file.with_name("prepared.onnx")
    quantization.quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(str(prepared), str(file), Requests(), per_channel=True)
    prepared.unlink()


def _load_onnx(file):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(file, options)
    names = [output.name for output in session.get_outputs()]
    return lambda request: dict(zip(names, session.run(None, request), strict=True))


def _convert_to_litert(folder, file, calibration):
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter(calibration)
    file.write_bytes(converter.convert())


def _load_litert(file):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file, num_threads=THREADS)
    runner = interpreter.get_signature_runner()
    return lambda request: runner(**request)


def _convert_to_openvino(folder, file, calibration):
    # This package reports usage, and without a network it keeps the process from
    # ending. OpenVINO works without it.
    sys.modules["openvino_telemetry"] = None
    import openvino

    model = openvino.convert_model(folder)
    if calibration is not None:
        import nncf

        model = nncf.quantize(model, nncf.Dataset(calibration))
    openvino.save_model(model, str(file), compress_to_fp16=False)


def _load_openvino(file):
    import openvino

    options = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(file, "CPU", options)

    def run(request):
        outputs = model(request)
        return {output.any_name: outputs[output] for output in model.outputs}

    return run


@contextlib.contextmanager
def _input_errors(runtime):
    """Convert the errors of a runtime's converter into `InputError`."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{runtime} needs the packages of requirements-export.txt: {error}"
        ) from error
    except Exception as error:  # each converter raises errors of its own
        if DISK_FULL in str(error):  # not the model's fault
            raise
        raise InputError(f"{runtime} does not support this model: {error}") from error


RUNTIMES = {
    "saved_model": Runtime("", _copy_saved_model, _load_saved_model),
    "onnx": Runtime("model.onnx", _convert_to_onnx, _load_onnx),
    "litert": Runtime("model.tflite", _convert_to_litert, _load_litert),
    "openvino": Runtime("model.xml", _convert_to_openvino, _load_openvino),
}
