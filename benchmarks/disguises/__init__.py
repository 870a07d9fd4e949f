"""Models of the miniature in disguise, and independent ones: what an audit is scored on.

`run.py` beside this file makes them by script, scores them and writes the table. Files are kept in
`samples/.cache/disguises`; nothing here is part of the package.
"""
