"""One study a file: a value, or what makes one."""
