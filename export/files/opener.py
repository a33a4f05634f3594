"""What a file is: ONNX, TorchScript, or neither, and then what to do."""

import io
import zipfile

from carousel.export.errors import ExportRefused, first_line
from carousel.export.files.onnxfile import OnnxProgram
from carousel.export.files.program import Program
from carousel.export.files.scriptfile import ScriptProgram
from carousel.export.options import Options

_EXPORT = "export the module with carousel-export package.module:factory --weights FILE"

_AGAIN = "fetch or save it again"


def open_program(data: bytes, options: Options) -> Program:
    """Load a model from the bytes of its file; raises ExportRefused, saying what it is instead."""
    names = _zip_names(data)
    if names is not None:
        _refuse_other_zip(names)
        return ScriptProgram(data, options)
    for head, place, what, way_out in (
        (b"ORTM", 4, "a model in ONNX Runtime's own format", "give the ONNX file it was made from"),
        (b"\x89HDF", 0, "an HDF5 file, as Keras writes it", "convert it to ONNX first"),
        (b"TFL3", 4, "a TensorFlow Lite model", "convert it to ONNX first"),
        (b"\x80", 0, "a pickle, which is never loaded", _EXPORT),
    ):
        if data[place : place + len(head)] == head:
            raise ExportRefused(f"the file is {what}", way_out)
    if options.submodule is not None:
        raise ExportRefused("--submodule is for TorchScript, and the file is none", "leave it out")
    try:
        return OnnxProgram(data, options)
    except UnicodeDecodeError as error:
        raise ExportRefused("a name in the file is no text", _AGAIN) from error


def _zip_names(data: bytes) -> set[str] | None:
    """What a zip file holds, its outermost folder left out; None of other bytes.

    Raises ExportRefused for a damaged one: torch reads weights without a look at their checksums.
    """
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            return None
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            broken = archive.testzip()
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except Exception as error:  # zipfile says what it says to bytes that are none of its own
        raise ExportRefused(
            f"the file is a damaged zip file: {first_line(error)}", _AGAIN
        ) from error
    if broken is not None:
        raise ExportRefused(f"{broken} in the file does not fit its checksum", _AGAIN)
    return names


def _refuse_other_zip(names: set[str]) -> None:
    """A zip file that holds no TorchScript code."""
    if any(name.startswith("code/") for name in names) and "constants.pkl" in names:
        return
    if "data.pkl" in names:
        raise ExportRefused("the file holds weights, and not the model that they are of", _EXPORT)
    if "archive_format" in names or any(name.endswith(".pt2") for name in names):
        raise ExportRefused(
            "the file is a torch.export program",
            "export the nn.Module it was made from, or convert it to ONNX",
        )
    raise ExportRefused(
        "the file is a zip file that holds no model", "give an ONNX or a TorchScript file"
    )
