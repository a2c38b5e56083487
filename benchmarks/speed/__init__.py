"""What `bench sizes` is made of: ceilings of the machine, measured stages, tables and a plot."""
