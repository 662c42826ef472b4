"""Torch: backbones, tokens, training, scoring, checkpoints. Imports nothing of ours but core's words."""
