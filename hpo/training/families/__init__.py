"""Model families: what a network is, how it is built, trained, described and exported.

`family.Family` is the interface. Each family is a package: its `__init__` holds the configuration,
which needs no torch; its module `family` holds the `FAMILY`.
"""
