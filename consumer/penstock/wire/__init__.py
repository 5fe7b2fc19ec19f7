"""Bytes to values and back: contracts/PROFILE.md in Python. Imports nothing else of penstock."""
