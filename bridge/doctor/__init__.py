"""Checks of ``hsm doctor``: each looks at one part of the installation and returns findings, without secrets.

``java``, ``packages``, ``state`` and ``settings`` have the checks, ``finding`` the form of their results, and
``examination`` the order.
"""
