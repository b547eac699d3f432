"""Readers of files that may be malicious."""
