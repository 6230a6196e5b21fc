"""One run as one HTML page that needs no network: `page.py` puts the sections together."""
