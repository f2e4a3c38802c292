"""Rows of the literature: what papers printed, and the same figures computed here from real weights and streams."""

from .published import TABLES, Contradiction, PaperLayer, PaperNetwork, contradictions, paper_network
from .synthetic import FAMILY, synthetic_layer, with_synthetic_weights
from .tables import LayerFigures, figures_of_model, figures_of_weights, layer_figures, total_figures

__all__ = [
    "FAMILY",
    "TABLES",
    "Contradiction",
    "LayerFigures",
    "PaperLayer",
    "PaperNetwork",
    "contradictions",
    "figures_of_model",
    "figures_of_weights",
    "layer_figures",
    "paper_network",
    "synthetic_layer",
    "total_figures",
    "with_synthetic_weights",
]
