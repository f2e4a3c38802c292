"""Mappings of layers on accelerators: access counts, cycles, energy, and the search for the best one."""
