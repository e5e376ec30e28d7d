"""What people see of a fit and a model: progress bars and lines, and tables as text and HTML."""
