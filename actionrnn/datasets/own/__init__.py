"""Your own clips: folders of videos, or a table of them."""
