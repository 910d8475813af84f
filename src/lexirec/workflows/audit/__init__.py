"""The audit: does anything know what it is asked, and are figures what they seem to be?

One function per check, from `Evidence` to findings; `examine` makes all of them. Nothing is trained here.
"""
