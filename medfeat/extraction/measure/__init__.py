"""Short measurements that decide how an extraction runs on this machine."""
