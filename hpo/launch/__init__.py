"""Where workers run: the slots of this machine, and the studies they are started for."""
