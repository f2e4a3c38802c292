"""Writing models for other tools: ONNX, safetensors, npz."""

from .export import EXPORTERS, export_model
from .onnx import export_onnx
from .tensors import export_npz, export_safetensors, weight_arrays

__all__ = ["EXPORTERS", "export_model", "export_npz", "export_onnx", "export_safetensors", "weight_arrays"]
