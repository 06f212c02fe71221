"""Objects that several processes have in common: arrays."""
