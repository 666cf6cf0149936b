"""A world that can be rendered: scenes, their captions, and the exact picture of every edit."""
