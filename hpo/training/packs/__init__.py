"""Packs: many runs in training at once, as one program on the device.

`PackedTrainer` in `trainer` is what others use; `pack` trains the runs of one pack together.
"""
