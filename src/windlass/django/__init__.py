"""Files of Windlass in the models, forms, templates and serializers of a Django project.

Add ``"windlass.django"`` to INSTALLED_APPS, and import what you need from its modules: ``fields``, ``forms``,
``admin``, ``signals``, ``rest_framework``, ``ninja``; in templates ``{% load windlass %}``. ``windlass.testing`` helps
in tests.
"""
