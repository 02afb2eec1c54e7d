"""The parts of `medfeat finetune`."""
