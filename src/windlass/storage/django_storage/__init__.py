"""A store over any Django storage: objects are staged on this machine and saved once, when they are complete.

Only this package of the storage layer imports Django.
"""
