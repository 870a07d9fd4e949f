"""Results as text, figures and pages: tables, JSON, CSV, markdown, SVG, HTML. Reads `types`."""
