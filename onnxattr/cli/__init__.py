"""The command line: options in, one library call, a renderer out. Only it prints and exits."""
