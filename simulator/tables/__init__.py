"""Constants that many targets share, each with its source: efficiencies by kernel class."""
