"""Compiled forms of models that explore: made once for an architecture, used with any weights.

Compiling a NequIP or Allegro model takes more than a minute, and a step is then up to four times
faster. The machine code depends on the architecture alone. A training changes the weights, and
these are given to the code when it is loaded. So the models of all iterations, and of all campaigns
that train the same architecture, share one compiled form.

`machine` says on which machines a form runs, `cache` where forms are, `decision` when making one
pays, `speed` how fast models are, `program` makes one in a process of its own.
"""
