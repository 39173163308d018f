/* SPDX-License-Identifier: MIT
 *
 * Plain data from C as Lua has it. */
#pragma once

#include "script/value.h"

#include <lua.h>

/* Pushes the value with all that is in it, counters as numbers. Raises without memory. */
void value_push(lua_State *L, const struct value *value);

/* The same, but a counter that no number has to its last digit (beyond 2^53) is a table that has it: { digits = "…" },
 * with a metatable by which it is told (`is_counter`); it reads as its digits and reckons as a number. (With
 * numbers Lua 5.1 does not compare it.) */
void value_push_exactly(lua_State *L, const struct value *value);
