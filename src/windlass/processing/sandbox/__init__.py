"""The sandbox: hostile files are parsed in a child process that is forked for one file, limited, and killed with it.

Three processes take part:

- The *worker* sends orders (``client``).
- The *parent* is one warm process per worker that has imported the steps and their libraries. It starts with an empty
  environment, holds no secret and parses nothing; it forks children, watches and kills them (``parent``).
- The *child* gives up its rights (``lockdown``), then runs the file's steps in turn as the worker orders them
  (``child``). One child serves the steps of one file (docs/decisions/0019).

They exchange small JSON messages and open files (``channel``). The worker checks a child's answers before it uses them
(``windlass.processing.step_result``). The parent reports how a child ended over a channel that the child does not have
(``exit_status``). The worker measures the time of a step: it closes the channel, and the parent kills the child.
"""
