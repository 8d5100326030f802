"""What the administration commands do; `supervisor.cli_admin` is how they are called."""
