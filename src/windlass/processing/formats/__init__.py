"""Readers of formats that more than one step looks into: bounded in memory, linear in time, nothing written anywhere.

They run in the sandbox. Each says in its docstring where it stops; what is past that point is not looked at, and the
caller learns that it was cut.
"""
