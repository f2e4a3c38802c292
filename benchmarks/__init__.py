"""What should stay fast, measured: `python -m benchmarks` from the repository, or `make bench`."""
