"""The parts of `medfeat explore` and `medfeat report`."""
