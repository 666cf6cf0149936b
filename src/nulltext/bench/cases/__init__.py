"""Where cases come from: rendered scenes, a folder of images, PIE-Bench."""
