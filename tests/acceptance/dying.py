"""A program: runs wafleet in this process, which is killed before its first change of one kind.

Arguments: the kind (link, unlink, replace, …), what is in the name of what it is about, and then
the command line that would have run.
"""

from __future__ import annotations

import runpy
import sys

from tests.integration.killed_boots import arm

if __name__ == "__main__":
    kind, name, *command = sys.argv[1:]
    arm(1, sys.stderr.fileno(), [kind], name)
    sys.argv = command[2:]  # without the interpreter and -m
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
