"""Inverse problems: linear operators, named tasks, their solution by a sampler, and baselines.

`operators` are linear maps y = A x; `tasks` names them ("inpaint_box", "deblur", …); `conditioning`
makes a sampler keep y; `solve` restores images; `baselines` are scikit-image's methods.
"""
