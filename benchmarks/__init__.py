"""Measurements; nothing here asserts a time, `make bench` prints them."""
