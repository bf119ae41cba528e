"""How photos stand beside each other: a first round of matching finds their rolls and zooms."""
