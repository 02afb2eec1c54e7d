"""What a judgement leaves on disk: the run, its probe, its card, its words."""
