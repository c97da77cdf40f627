"""SavedModels brought to other runtimes: ONNX Runtime, LiteRT and OpenVINO.

What is brought there is `serving_default`, for pictures of the network's own size and
any batch, without the checks of its inputs. An output with the name of an input, which
a runtime cannot have, gets "_out" behind it. The runtimes' packages are those of
requirements-export.txt, and are imported only where they are used.
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
from train_tf.files import FULL, atomic_write

THREADS = 2


class Runtime(NamedTuple):
    """How a model comes to a runtime, and runs there.

    file: what the model is called there; empty, if it is the folder itself.
    convert: takes the folder of a SavedModel, the file to write, and requests (name to
        array) to calibrate int8 on, or None for float32.
    load: takes the file and gives a function from a request to outputs, name to array.
    """

    file: str
    convert: Callable
    load: Callable


def export_to(runtime, model, out, calibration=None):
    """Convert a SavedModel for a runtime.

    Args:
        runtime: one of `RUNTIMES`.
        model: saved_models/<name> or <name>/<version>.
        out: the folder to write, which must not be there yet.
        calibration: requests that int8 is calibrated on, name to array each; None for
            float32.

    Returns:
        The file that the runtime loads.

    Raises:
        InputError: if the packages are missing, or the runtime cannot take the model.
    """
    about = RUNTIMES[runtime]
    out = Path(out)
    if out.exists():
        raise InputError(f"{out} is there already. Remove it, or choose another --out.")
    with (
        _said_of(runtime),
        tempfile.TemporaryDirectory() as folder,
        atomic_write(out) as beside,
    ):
        _write_plain(model, folder)
        beside.mkdir()
        about.convert(folder, beside / about.file, calibration)
    return out / about.file


def load_from(runtime, file):
    """A function from a request, name to array, to outputs, name to array.

    Raises:
        InputError: if the packages are missing, or the file cannot be loaded.
    """
    with _said_of(runtime):
        return RUNTIMES[runtime].load(str(file))


def _write_plain(model, folder):
    """A SavedModel of `serving_default` alone, whose pictures have one size."""
    loaded, about = load(model)
    signature = loaded.signatures["serving_default"]
    specs = dict(signature.structured_input_signature[1])
    if about["kind"] == "UNet":
        shape = (None, about["image_size"], about["image_size"], 3)
        specs["image"] = tf.TensorSpec(shape, tf.float32, "image")
    plain = tf.Module()
    plain.kept = loaded
    plain.answer = tf.function(
        lambda **inputs: {
            f"{name}_out" if name in inputs else name: value
            for name, value in signature(**inputs).items()
        }
    )
    concrete = plain.answer.get_concrete_function(**specs)
    tf.saved_model.save(plain, folder, signatures={"serving_default": concrete})


def _signature(folder):
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    return loaded, signature, signature.structured_input_signature[1]


def _copy_saved_model(folder, file, calibration):
    if calibration is not None:
        raise InputError("A SavedModel computes in float32; int8 is for the others.")
    shutil.copytree(folder, file, dirs_exist_ok=True)


def _load_saved_model(file):
    loaded, signature, _ = _signature(file)

    def run(request, loaded=loaded):
        outputs = signature(**{name: tf.constant(x) for name, x in request.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def _convert_to_onnx(folder, file, calibration):
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from onnxruntime import quantization

    patch_tf2onnx()  # as Keras does, for NumPy of today
    _, signature, specs = _signature(folder)
    function = tf.function(
        lambda *inputs: signature(**dict(zip(specs, inputs, strict=True)))
    )
    tf2onnx.convert.from_function(
        function, list(specs.values()), opset=18, output_path=str(file)
    )
    if calibration is None:
        return

    class Requests(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(calibration)

        def get_next(self):
            return next(self.left, None)

    whole = file.with_name("float32.onnx")
    file.rename(whole)
    prepared = file.with_name("prepared.onnx")
    quantization.quant_pre_process(str(whole), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(str(prepared), str(file), Requests(), per_channel=True)
    whole.unlink()
    prepared.unlink()


def _load_onnx(file):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(file, options)
    names = [output.name for output in session.get_outputs()]
    return lambda request: dict(zip(names, session.run(None, request), strict=True))


def _convert_to_litert(folder, file, calibration):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
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
    # It would send to its makers what it is used for and, where there is no network to
    # do so, never let this process end. It can do without that package.
    sys.modules["openvino_telemetry"] = None
    import openvino

    model = openvino.convert_model(str(folder))
    if calibration is not None:
        import nncf

        model = nncf.quantize(model, nncf.Dataset(list(calibration)))
    openvino.save_model(model, str(file), compress_to_fp16=False)


def _load_openvino(file):
    import openvino

    exact = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(file, "CPU", exact)

    def run(request):
        answers = model(request)
        return {output.any_name: answers[output] for output in model.outputs}

    return run


@contextlib.contextmanager
def _said_of(runtime):
    """Turn whatever a runtime's converter raises into a sentence."""
    try:
        yield
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{runtime} needs the packages of requirements-export.txt: {error}"
        ) from error
    except Exception as error:  # each converter raises errors of its own
        if FULL in str(error):  # not the model's fault
            raise
        raise InputError(f"{runtime} cannot take this model: {error}") from error


RUNTIMES = {
    "saved_model": Runtime("", _copy_saved_model, _load_saved_model),
    "onnx": Runtime("model.onnx", _convert_to_onnx, _load_onnx),
    "litert": Runtime("model.tflite", _convert_to_litert, _load_litert),
    "openvino": Runtime("model.xml", _convert_to_openvino, _load_openvino),
}
