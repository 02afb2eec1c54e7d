"""How good a head is, and how sure one can be of it: official metrics, intervals, the protocol, published results."""
