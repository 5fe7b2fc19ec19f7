"""How jobs run: children, their slots and the protocol between parent and child.

`runner` is the child's side; everything else is the parent's. The two share `frames` alone.
"""
