"""Contracts and what they mean for Python: types, files, signatures, conversions. See contracts/DIALECT.md."""
