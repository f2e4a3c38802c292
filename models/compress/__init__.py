"""Real compression: prune, share, encode, with a training run in between or without one.

The run itself is `picojoule.models.compress.run.compress`.
"""

from .post_training import PostTraining, compress_without_training, post_training
from .progress import Progress
from .prune import cubic_density, kept_count, magnitude_mask, prune_graph
from .recipe import DEFAULT_RECIPE, Recipe, load_recipe, recipe_names
from .share import kmeans_1d, share_weights, squared_error

__all__ = [
    "DEFAULT_RECIPE",
    "PostTraining",
    "Progress",
    "Recipe",
    "compress_without_training",
    "cubic_density",
    "kept_count",
    "kmeans_1d",
    "load_recipe",
    "magnitude_mask",
    "post_training",
    "prune_graph",
    "recipe_names",
    "share_weights",
    "squared_error",
]
