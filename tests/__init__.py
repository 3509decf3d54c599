"""Tests. They mirror the packages; `helpers` has what they share."""
