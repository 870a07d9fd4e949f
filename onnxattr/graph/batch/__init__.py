"""Where the batch lies in every value of a graph that was exported for a batch of one."""
