"""YAML in, model out. Below here nobody knows that YAML exists.

The way of a configuration: `strict_yaml` reads files into values that know their places,
`load` joins the included files, `environment` lays SYNCD_… variables over them, `schema`
(made of `fields` and `values`; secrets by `secrets`) validates each value, `rules` checks
what must agree, `resolve` makes model objects of it. Whatever is wrong becomes a `Problem`
(`sentences`), and all problems come at once in one `ConfigError`; `draft` sees to it that one
mistake does not hide another.
"""
