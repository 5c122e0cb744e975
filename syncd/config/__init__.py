"""YAML in, model out. Below here nobody knows that YAML exists."""
