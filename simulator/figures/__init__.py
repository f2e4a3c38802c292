"""Figures: pure functions from DataFrames to plotly, used by the report and the dashboard alike."""

from .bars import layer_energy_figure, size_ladder_figure, sram_dram_figure, traffic_figure
from .compare import comparison_figure
from .families import families_figure, families_frame
from .frames import comparison_frame, ladder_frame, memory_frame, roofline_frame, roofs_frame, traffic_frame
from .front import front_figure, fronts_figure
from .network import layer_graph_figure
from .roofline import roofline_figure
from .style import AXES, COMPONENT_COLOURS, OKABE_ITO, TARGET_COLOURS, config, template
from .trust import validation_figure

__all__ = [
    "AXES",
    "COMPONENT_COLOURS",
    "OKABE_ITO",
    "TARGET_COLOURS",
    "comparison_figure",
    "comparison_frame",
    "config",
    "families_figure",
    "families_frame",
    "front_figure",
    "fronts_figure",
    "ladder_frame",
    "layer_energy_figure",
    "layer_graph_figure",
    "memory_frame",
    "roofline_figure",
    "roofline_frame",
    "roofs_frame",
    "size_ladder_figure",
    "sram_dram_figure",
    "template",
    "traffic_figure",
    "traffic_frame",
    "validation_figure",
]
