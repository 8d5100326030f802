"""The chaos suite: each fault that wafleet must survive, injected for real and held against a bar.

`python -m tests.chaos` runs all of it, `tests/chaos/test_faults.py` its quick half.
"""
