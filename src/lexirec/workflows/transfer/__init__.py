"""One catalogue's model carried to another: what may be chosen, the stages, and the run that measures it there."""
