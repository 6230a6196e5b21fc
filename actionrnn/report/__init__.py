"""Everything that draws or prints a run: terminal tables, figures, sheets, the HTML page."""
