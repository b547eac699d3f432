"""CNN tuning studies whose report gives every choice its evidence."""

__version__ = "0.2.0"
