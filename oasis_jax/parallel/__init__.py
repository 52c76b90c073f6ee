"""Devices and processes: the mesh, the shardings of arrays, and the work of several processes."""
