"""Devices and processes: the mesh, where arrays lie on it, and what each of several processes does."""
