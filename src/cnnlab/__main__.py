"""`python -m cnnlab` is the command line."""

from cnnlab.cli import main

main(prog_name="cnnlab")
