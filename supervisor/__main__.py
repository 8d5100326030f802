"""`python -m supervisor` is `wafleet`."""

from supervisor.cli import main

if __name__ == "__main__":
    main()
