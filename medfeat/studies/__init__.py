"""Studies that come with medfeat, each a TOML file."""
