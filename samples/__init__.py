"""The sample zoo: rendered rooms, the tasks learnt on them, and how the model files are made."""
