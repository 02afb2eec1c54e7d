"""medfeat: embed medical images once with a frozen backbone, keep the vectors, probe them in seconds."""
__version__ = "0.1.0"
