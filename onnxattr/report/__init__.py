"""Results as text: terminal tables, JSON, CSV, markdown. Reads `types` and nothing else."""
