"""The one loop over jobs, and which jobs a question makes of the stores in the cache."""
