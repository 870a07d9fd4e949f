"""Taskonomy's published encoders: their network, their names, and the way to a ranking."""
