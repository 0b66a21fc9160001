"""Measures the worker beside its limits and its peers. `python -m bench` is the whole of it; README.md says how."""
