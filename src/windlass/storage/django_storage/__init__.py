"""Any storage of Django's, as a store: objects are staged on this machine and saved once, when they are whole.

Only this package of the storage layer imports Django: a Django storage is what it is about.
"""
