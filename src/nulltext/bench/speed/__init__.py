"""How fast inversion is: beside the published code, and at full size."""
