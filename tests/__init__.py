"""The tests of syncd. Only this folder is a package; those below it need no __init__.py."""
