"""Attribution maps of converted networks. Imports `convert` and what is below it."""
