"""Whether one model is derived from another: by its weights, by what it does, and the verdict."""
