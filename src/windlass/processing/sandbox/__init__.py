"""Where hostile bytes are parsed: in a child that is forked for one step over one file, bounded and then gone.

Three processes take part. The *worker* asks (``client``). The *parent* is one warm process per worker that has imported
the steps and their libraries, started with an empty environment; it holds no secret, parses nothing, forks, watches
and kills (``parent``). The *child* gives up what it can (``hardening``), runs the step and answers (``child``).

What goes between them are small JSON messages (``messages``) and open files. Whatever a child says is checked by the
worker before it counts (``windlass.processing.outcome``). How it ended is told by the parent, through a channel that
the child does not have (``judge``).
"""
