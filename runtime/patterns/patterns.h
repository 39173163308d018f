/* SPDX-License-Identifier: MIT
 *
 * Matching text in Lua states, so that the watchdog can stop it: Lua's own patterns, and regular expressions. */
#pragma once

#include <lua.h>
#include <stdbool.h>

/* "moongate.pcre": what lua/moongate/regex.lua is made of (bind_regex.c). */
int luaopen_moongate_pcre(lua_State *L);

/* Puts our own pattern functions, which the watchdog can stop, into the global `string` (bind_pattern.c). A trusted
 * state has no watchdog and keeps LuaJIT's, but for gsub: that may nest until the C stack ends. */
void script_open_patterns(lua_State *L, bool trusted);
