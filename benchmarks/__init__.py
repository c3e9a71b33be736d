"""How fast, and at what cost. `python -m benchmarks` prints medians and spread; each benchmark
checks that the work was done before it prints a time."""
