"""Where workers run: the slots of this machine, or a cluster; and the studies they are for."""
