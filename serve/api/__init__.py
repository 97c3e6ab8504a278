"""What persons and machines see of a hedger, and say to it, in a process beside it."""
