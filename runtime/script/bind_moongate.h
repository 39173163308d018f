/* SPDX-License-Identifier: MIT
 *
 * The parts of the table of C functions that stand in files of their own. */
#pragma once

#include <lauxlib.h>
#include <lua.h>

/* What `moongate` is made of, by name (bind_moongate.c). */
extern const luaL_Reg core_functions[];

/* moongate.connect(host, port, options) (bind_connect.c). */
int core_connect(lua_State *L);

/* moongate.resolve(name) (bind_resolve.c). */
int core_resolve(lua_State *L);

/* moongate.on_reload(fn) (bind_reload.c). */
int core_on_reload(lua_State *L);
