"""Optional full fine-tuning: the frozen path's own data, preprocessing and start, trained further, safely."""
