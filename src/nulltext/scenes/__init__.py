"""A world that can be rendered: scenes, their captions, and the exact image of every edit."""
