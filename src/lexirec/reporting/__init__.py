"""Reports from computed numbers: terminal tables, Markdown and HTML pages, figures. Without torch."""
