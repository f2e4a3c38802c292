"""picojoule: what a neural network costs on real hardware, before anyone deploys it."""

__version__ = "0.1.0"
