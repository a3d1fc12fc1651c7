"""A demonstration in the browser: `python -m tf_mdsm.demo --help`.

`opening` finds out what a run's folder, an export or a server's address is, and `models` and
`run_model` give all of them the same few methods. `uploads`, `masks` and `pictures` are small
functions of arrays. `page` lays out the page and knows nothing else.
"""
