/* SPDX-License-Identifier: MIT
 *
 * A digest of a normal form that the schema made: two that say the same have the same, in whatever order their tables
 * are. Routes, and what the config says to files, are compared by it instead of field by field, so that no field can be
 * forgotten. */
#pragma once

#include <lua.h>
#include <stdint.h>

/* Of the value at `index` of `L`: nil, a boolean, a number, a string, or a table of such. Raises without memory. */
uint64_t digest_of_value(lua_State *L, int index, uint64_t seed);
