"""What is wanted, what is there already, and what is to do: plain values, before a network is loaded."""
