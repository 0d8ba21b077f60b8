"""Others who compute the same: libfp in a process of its own, and automatic differentiation."""
