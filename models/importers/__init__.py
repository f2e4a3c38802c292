"""Reading networks from elsewhere: ONNX files, and layers written out."""

from .layer_spec import LayerSpec, is_layer_spec, parse_layer_spec
from .onnx import import_onnx

__all__ = ["LayerSpec", "import_onnx", "is_layer_spec", "parse_layer_spec"]
