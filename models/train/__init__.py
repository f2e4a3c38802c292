"""Training with torch (extra [train]): the stages of a compression run, a module of one's own, errors."""

import torch

from .evaluate import activation_density, error_pct
from .hook import compress_module
from .network import torch_forward
from .stages import Trained, train_stages

__all__ = ["TORCH_VERSION", "Trained", "activation_density", "compress_module", "error_pct", "torch_forward",
           "train_stages"]  # fmt: skip

TORCH_VERSION = str(torch.__version__)
