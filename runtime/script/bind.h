/* SPDX-License-Identifier: MIT
 *
 * The openers of the modules that are written in C: each pushes its module, as `require` wants it. */
#pragma once

#include <lua.h>
#include <stdbool.h>

/* "moongate.http_parser": http/request.h for Lua (bind_http.c). Needs no place, and nothing of it waits. */
int luaopen_moongate_http_parser(lua_State *L);

/* "moongate.pcre": what lua/moongate/regex.lua is made of (bind_regex.c). */
int luaopen_moongate_pcre(lua_State *L);

/* Puts our own pattern functions, which the watchdog can stop, into the global `string` (bind_pattern.c). A trusted
 * state has no watchdog and keeps LuaJIT's, but for gsub: that may nest until the C stack ends. */
void script_open_patterns(lua_State *L, bool trusted);
