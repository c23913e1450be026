"""Reading one meter for people: what it says about itself, its objects, its logs, in words."""
