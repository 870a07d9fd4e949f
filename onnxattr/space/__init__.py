"""Models as points: similarities and rankings. Pure numpy; no files, devices or clocks."""
