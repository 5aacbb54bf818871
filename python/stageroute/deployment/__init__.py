"""The live set of a stage: the deployment problem, its solvers, the plan that comes of it."""
