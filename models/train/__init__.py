"""Training with torch (extra [train]): the stages of a compression run, and errors measured on the way."""

import torch

from .evaluate import activation_density, error_pct
from .network import torch_forward
from .stages import Trained, train_stages

__all__ = ["TORCH_VERSION", "Trained", "activation_density", "error_pct", "torch_forward", "train_stages"]

TORCH_VERSION = str(torch.__version__)
