"""Tables and figures, made from records and from the numbers that the papers report."""
