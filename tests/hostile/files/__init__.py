"""Families of hostile files, one module each."""
