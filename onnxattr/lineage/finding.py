"""What follows from how weights agree, held against pairs that are known to be independent."""
