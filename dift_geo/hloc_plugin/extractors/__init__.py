"""Files that join hloc's `extractors` package by its search path."""
