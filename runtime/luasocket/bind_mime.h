/* SPDX-License-Identifier: MIT
 *
 * "mime.core" for Lua. Needs no place, and nothing of it waits. */
#pragma once

#include <lua.h>

int luaopen_mime_core(lua_State *L);
