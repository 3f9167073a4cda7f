"""Where hostile bytes are parsed: in a child that is forked for one file, bounded, and gone with it.

Three processes take part. The *worker* asks (``client``). The *parent* is one warm process per worker that has imported
the steps and their libraries, started with an empty environment; it holds no secret, parses nothing, forks, watches
and kills (``parent``). The *child* gives up what it can (``hardening``), then does the file's steps in turn, as the
worker orders them, and answers to each (``child``). What the steps of one file share is in docs/decisions/0019.

What goes between them are small JSON messages (``messages``) and open files. Whatever a child says is checked by the
worker before it counts (``windlass.processing.outcome``). How a child ended is told by the parent, through a channel
that the child does not have (``line``, ``judge``). The wall clock is the worker's: it hangs up, and the parent kills.
"""
