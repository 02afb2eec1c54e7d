"""From what a person typed to checked values: data, networks, questions."""
