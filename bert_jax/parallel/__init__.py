"""Devices, the mesh over them, and which axis of an array lies on which axis of the mesh."""
