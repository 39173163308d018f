/* SPDX-License-Identifier: MIT
 *
 * What bind_pattern.c and bind_substitute.c share: a match that asks the watchdog, and its outcome as Lua values. */
#pragma once

#include "patterns/pattern.h"

#include <lua.h>

/* A match in the string `subject`, under the watchdog of `L`. */
void pattern_begin_watched(struct pattern_match *match, lua_State *L, const char *subject, size_t size);

/* Raises what went wrong: the fault in the pattern, or that the time is over. Does not return. */
int pattern_raise(const struct pattern_match *match, lua_State *L);

/* Pushes the capture `index`, counted from 0; of none at all, 0 is what was matched, from `start` to `end`. Raises. */
void pattern_push_capture(const struct pattern_match *match, lua_State *L, unsigned index, const char *start,
                          const char *end);

/* Pushes all captures; when there are none, what was matched. How many. Raises. */
int pattern_push_captures(const struct pattern_match *match, lua_State *L, const char *start, const char *end);

/* string.gsub, as LuaJIT's. (bind_substitute.c) */
int string_substitute(lua_State *L);
