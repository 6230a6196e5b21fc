"""Video action recognition: frozen CNN features, recurrent heads."""
