-- SPDX-License-Identifier: MIT
--
-- The one schema of the config and of routes: every field with its type, its default, its bounds and a line of
-- documentation. It only declares, in schema/config_fields.lua and schema/route_fields.lua; schema/check.lua and
-- schema/types.lua say what the types accept.
--
-- `./dev docs` writes docs/reference.md and the annotations of lua/moongate/_meta/ from it: run it after a change.
--
-- A descriptor: type; default (as a user would write it); required (what to write, when it is missing); always (of a
-- table of which nothing is required by itself); doc; since (a version); fields (of a table); of, most (of a list);
-- enum, words, min, max, off (what bounds the type); shared (of a table: nobody changes
-- its normal form, so one stands for all defaults); later: "warn" or "refuse", for a field that is accepted, and has
-- its effect in a later version only.
--
-- The build takes an option into C from here (cmake/options.lua): into the field of the same name of struct config or
-- struct route, tables into structs. Besides, a descriptor may have: c (the field's name there, or false: compiled by
-- hand); next_start (a reload leaves it, and says so: true, or "whole" for without the values); apart (route files are
-- not loaded anew when it changes, as they are otherwise); normal_words (of a normal form that is an enum in C).

return {
  config = require("moongate.schema.config_fields"),
  route = require("moongate.schema.route_fields"),
}
