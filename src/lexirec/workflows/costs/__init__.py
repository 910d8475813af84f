"""Plan what an experiment costs before it runs: operations, hours on named devices, memory."""
