/* SPDX-License-Identifier: MIT
 *
 * The parts of the table of C functions that stand in files of their own. */
#pragma once

#include <lua.h>

/* moongate.connect(host, port, options) (bind_connect.c). */
int core_connect(lua_State *L);

/* moongate.on_reload(fn) (bind_reload.c). */
int core_on_reload(lua_State *L);
