"""Stands for a torch that is not installed: conftest.py puts this directory before the real one's."""

raise ImportError("torch is not for the processes that tests start")
