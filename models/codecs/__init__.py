"""Real encoders of shared weights: bytes that decode to exactly the codes that went in."""

from .base import Codec, Encoded, Layout, Sizes
from .registry import ENCODINGS, codec_named, decode, encode, is_encoding, section_bits

__all__ = [
    "ENCODINGS", "Codec", "Encoded", "Layout", "Sizes", "codec_named", "decode", "encode", "is_encoding",
    "section_bits",
]  # fmt: skip
