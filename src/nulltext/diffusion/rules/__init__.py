"""The rules of guidance beside the classifier-free one, one file each."""
