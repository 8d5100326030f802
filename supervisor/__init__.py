"""The supervision tree, the composition root and the command line."""
