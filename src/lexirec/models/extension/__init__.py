"""Recommenders for catalogues that have changed since training: items are added, reworded or removed.

    artifacts   what a recommender's stages stored: vectors, codes, codebook, neighbours, training rows
    encoding    vectors and neighbours of items in the spaces of the trained ones
    placing     identifiers of new items among the existing ones, which never move
    changes     the catalogue before and after, and where its items went
    memory, scorers, gram, tsrec    one kind of recommender each
    extend      the way in: `extend(recommender, changes, artifacts)`

Nothing is trained. Items are numbered as before; removed ones leave and the others move up, added ones follow in their
order. Three laws hold by construction. An identifier never changes. Adding items changes no score of a trained item
(`nn.head_base.log_shares`, `score_distributions.shares`). The vector, neighbours and path of a new item depend on the
trained items and its own row alone; only ties of identifiers depend on the order of arrival.
"""
