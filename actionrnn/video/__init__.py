"""A video file goes in, exact frames come out. The only package that knows a decoder exists."""
