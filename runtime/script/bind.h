/* SPDX-License-Identifier: MIT
 *
 * The openers of the modules that are written in C: each pushes its module, as `require` wants it. */
#pragma once

#include <lua.h>

/* "moongate.http_parser": http/request.h for Lua (bind_http.c). Needs no place, and nothing of it waits. */
int luaopen_moongate_http_parser(lua_State *L);

/* "moongate.pcre": what lua/moongate/regex.lua is made of (bind_regex.c). */
int luaopen_moongate_pcre(lua_State *L);
