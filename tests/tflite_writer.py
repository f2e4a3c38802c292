"""A .tflite file written tensor by tensor, for the tests of the importer and of the Ethos-U comparison."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

KINDS = {"float32": 0, "int32": 2, "int8": 9}


@dataclass
class Writer:
    """A .tflite file: tensors, then operators with their options."""

    builder: Any = field(default_factory=lambda: flatbuffers.Builder(1024))
    tensors: list[int] = field(default_factory=list)
    buffers: list[int] = field(default_factory=list)
    codes: list[tuple[int, str]] = field(default_factory=list)
    operators: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        tflite.BufferStart(self.builder)
        self.buffers.append(tflite.BufferEnd(self.builder))

    def _vector(self, start: Any, items: list[Any], add: str) -> int:
        start(self.builder, len(items))
        for item in reversed(items):
            getattr(self.builder, add)(item)
        return self.builder.EndVector()

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "float32",
        data: np.ndarray | None = None,
        scale: list[float] | None = None,
        zero: list[int] | None = None,
        axis: int = 0,
    ) -> int:
        b, buffer = self.builder, 0
        if data is not None:
            content = b.CreateNumpyVector(np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8))
            tflite.BufferStart(b)
            tflite.BufferAddData(b, content)
            buffer = len(self.buffers)
            self.buffers.append(tflite.BufferEnd(b))
        text = b.CreateString(name)
        sizes = self._vector(tflite.TensorStartShapeVector, list(shape), "PrependInt32")
        quantization = None
        if scale:
            scales = self._vector(tflite.QuantizationParametersStartScaleVector, scale, "PrependFloat32")
            zeros = self._vector(
                tflite.QuantizationParametersStartZeroPointVector, zero or [0] * len(scale), "PrependInt64"
            )
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scales)
            tflite.QuantizationParametersAddZeroPoint(b, zeros)
            tflite.QuantizationParametersAddQuantizedDimension(b, axis)
            quantization = tflite.QuantizationParametersEnd(b)
        tflite.TensorStart(b)
        tflite.TensorAddName(b, text)
        tflite.TensorAddShape(b, sizes)
        tflite.TensorAddType(b, KINDS[dtype])
        tflite.TensorAddBuffer(b, buffer)
        if quantization is not None:
            tflite.TensorAddQuantization(b, quantization)
        self.tensors.append(tflite.TensorEnd(b))
        return len(self.tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], options: str = "", **values: float) -> None:
        b = self.builder
        code = (getattr(tflite.BuiltinOperator, kind, tflite.BuiltinOperator.CUSTOM), kind)
        if code not in self.codes:
            self.codes.append(code)
        table = None
        if options:
            getattr(tflite, f"{options}Start")(b)
            for name, value in values.items():
                getattr(tflite, f"{options}Add{name}")(b, value)
            table = getattr(tflite, f"{options}End")(b)
        ins = self._vector(tflite.OperatorStartInputsVector, inputs, "PrependInt32")
        outs = self._vector(tflite.OperatorStartOutputsVector, outputs, "PrependInt32")
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, self.codes.index(code))
        tflite.OperatorAddInputs(b, ins)
        tflite.OperatorAddOutputs(b, outs)
        if table is not None:
            tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, options))
            tflite.OperatorAddBuiltinOptions(b, table)
        self.operators.append(tflite.OperatorEnd(b))

    def save(self, path: Path, inputs: list[int], outputs: list[int]) -> Path:
        b, codes = self.builder, []
        for code, name in self.codes:
            custom = b.CreateString(name) if code == tflite.BuiltinOperator.CUSTOM else None
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
            tflite.OperatorCodeAddBuiltinCode(b, code)
            tflite.OperatorCodeAddVersion(b, 1)
            if custom is not None:
                tflite.OperatorCodeAddCustomCode(b, custom)
            codes.append(tflite.OperatorCodeEnd(b))
        lists = [
            self._vector(tflite.SubGraphStartTensorsVector, self.tensors, "PrependUOffsetTRelative"),
            self._vector(tflite.SubGraphStartInputsVector, inputs, "PrependInt32"),
            self._vector(tflite.SubGraphStartOutputsVector, outputs, "PrependInt32"),
            self._vector(tflite.SubGraphStartOperatorsVector, self.operators, "PrependUOffsetTRelative"),
        ]
        tflite.SubGraphStart(b)
        for what, vector in zip(("Tensors", "Inputs", "Outputs", "Operators"), lists, strict=True):
            getattr(tflite, f"SubGraphAdd{what}")(b, vector)
        networks = self._vector(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(b)], "PrependUOffsetTRelative")
        known = self._vector(tflite.ModelStartOperatorCodesVector, codes, "PrependUOffsetTRelative")
        stored = self._vector(tflite.ModelStartBuffersVector, self.buffers, "PrependUOffsetTRelative")
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, known)
        tflite.ModelAddSubgraphs(b, networks)
        tflite.ModelAddBuffers(b, stored)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        path.write_bytes(bytes(b.Output()))
        return path
