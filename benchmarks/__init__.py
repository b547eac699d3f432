"""Timings, side by side in one run: `python -m benchmarks --help`. Run by hand; nothing passes or fails by them."""
