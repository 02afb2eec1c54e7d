"""Where a dataset and a backbone meet: decide what to do, then embed every image once."""
