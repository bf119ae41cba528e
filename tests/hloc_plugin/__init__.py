"""Tests of the plugin, and what they share."""
