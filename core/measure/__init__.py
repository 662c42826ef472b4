"""Arithmetic on margins and labels: arrays in, values with their uncertainty out. nan where there is no data."""
