"""One module per verb of the command line, imported only when its verb is called."""
