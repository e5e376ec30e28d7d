"""Tables: converted to numbers, read and written block by block, and files written whole."""
