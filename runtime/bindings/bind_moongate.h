/* SPDX-License-Identifier: MIT
 *
 * The parts of the table of C functions that stand in files of their own. */
#pragma once

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

/* What `moongate` is made of, by name (bind_moongate.c). */
extern const luaL_Reg core_functions[];

/* moongate.connect(host, port, options) (bind_connect.c). */
int core_connect(lua_State *L);

/* moongate.resolve(name) (bind_resolve.c). */
int core_resolve(lua_State *L);

/* moongate.shared(name), and what it gives (bind_shared.c). */
int core_shared(lua_State *L);
extern const luaL_Reg shared_methods[];

/* moongate.spawn(fn, …) (bind_spawn.c), moongate.after and moongate.every (bind_timer.c), and what they give. */
int core_spawn(lua_State *L);
extern const luaL_Reg task_methods[];
int core_after(lua_State *L);
int core_every(lua_State *L);
extern const luaL_Reg timer_methods[];

/* For lua/moongate/bounded.lua and sandbox.lua (bind_bounded.c). */
int core_is_deep(lua_State *L);
int core_is_full(lua_State *L);
int core_has_object(lua_State *L);
int core_look(lua_State *L);
int core_insert(lua_State *L);

/* For lua/moongate/bounded_files.lua (bind_files.c). */
extern const luaL_Reg file_functions[];

/* Whether a descriptor is free of those that scripts may have, if need be once Lua has closed those that it has
 * forgotten. */
bool script_has_descriptor(lua_State *L);

/* core.write(fd, text), for lua/moongate/printing.lua (bind_print.c). */
int core_write(lua_State *L);

/* core.measure(), for lua/moongate/metrics.lua (bind_measure.c). */
int core_measure(lua_State *L);

/* moongate.metrics: what makes metrics, and the methods of these (bind_metrics.c). */
extern const luaL_Reg metrics_functions[], counter_methods[], gauge_methods[], histogram_methods[];

/* Pushes the metatable of that name, made at first with `methods` behind __index; it can't be got at from Lua. */
void script_push_methods(lua_State *L, const char *name, const luaL_Reg *methods);

/* moongate.on_reload(fn) (bind_reload.c). */
int core_on_reload(lua_State *L);
