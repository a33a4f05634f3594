"""What a file is: ONNX, TorchScript, or neither, and then what to do."""

import io
import zipfile

from export.errors import ExportRefused
from export.importing.onnxfile import OnnxProgram
from export.importing.program import Program
from export.importing.scriptfile import ScriptProgram
from export.importing.wishes import Wishes

_EXPORT = "export the module with carousel-export package.module:factory --weights FILE"


def open_program(data: bytes, wishes: Wishes) -> Program:
    """Load a model from the bytes of its file; raises ExportRefused, saying what it is instead."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        _refuse_other_zip(data)
        return ScriptProgram(data, wishes)
    for head, place, what, way_out in (
        (b"ORTM", 4, "a model in ONNX Runtime's own format", "give the ONNX file it was made from"),
        (b"\x89HDF", 0, "an HDF5 file, as Keras writes it", "convert it to ONNX first"),
        (b"TFL3", 4, "a TensorFlow Lite model", "convert it to ONNX first"),
        (b"\x80", 0, "a pickle, which is never loaded", _EXPORT),
    ):
        if data[place : place + len(head)] == head:
            raise ExportRefused(f"the file is {what}", way_out)
    if wishes.submodule is not None:
        raise ExportRefused("--submodule is for TorchScript, and the file is none", "leave it out")
    return OnnxProgram(data, wishes)


def _refuse_other_zip(data: bytes) -> None:
    """A zip file that holds no TorchScript code."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = {name.partition("/")[2] or name for name in archive.namelist()}
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
