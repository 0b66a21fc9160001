"""What a record must be to count. The worker, `modpulse schema validate` and the published schemas ask here.

`reading` makes an event of bytes, `rules` judges what the types cannot, `published` says the same in JSON Schema, and `words`
tells people what is wrong.
"""
