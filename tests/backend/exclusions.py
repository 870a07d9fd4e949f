"""Cases that are not as the suite has them, each with its reason, which a test holds to be true."""

#: Inputs of floating point that say how large the output is, or where: read as numbers.
GEOMETRY = {
    ("Resize", 1): "",
    ("Resize", 2): "",
    ("Upsample", 1): "",
}
