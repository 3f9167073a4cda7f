"""Readers of file formats: one per format, bounded in memory and linear in time. They run in the sandbox.

A reader's docstring says where it stops; what lies beyond is not read, and the caller learns that reading was cut.
"""
