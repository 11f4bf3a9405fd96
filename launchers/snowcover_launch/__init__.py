"""How a job of ours reaches the machine that runs it."""
