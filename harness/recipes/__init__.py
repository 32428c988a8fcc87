"""Baseline -> variant: one file a recipe, whose name is the `recipe` of a variant."""
