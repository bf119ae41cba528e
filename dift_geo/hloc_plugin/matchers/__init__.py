"""Files that join hloc's `matchers` package by its search path."""
