"""The commands of operators, one file for each noun; verbs of many lines have their own."""
