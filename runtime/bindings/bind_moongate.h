/* SPDX-License-Identifier: MIT
 *
 * The parts of the table of C functions that stand in files of their own. */
#pragma once

#include "script/state.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

/* What `moongate` is made of, by name (bind_moongate.c). */
extern const luaL_Reg core_functions[];

/* moongate.resolve(name) (bind_resolve.c). */
int core_resolve(lua_State *L);
int core_name_of(lua_State *L);

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
int core_check_watch(lua_State *L);
int core_insert(lua_State *L);

/* For lua/moongate/bounded_files.lua (bind_files.c). */
extern const luaL_Reg file_functions[];

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

/* Pushes the table of C functions that the library's own modules are handed (bind_moongate.c). Raises without memory.
 */
void script_push_core(lua_State *L);

/* For struct script_parts (sandbox.c): sandbox.c, bind_timer.c, bind_reload.c. */
int script_open_libraries(lua_State *L);
void script_timers_start(struct script_state *state);
void script_timers_end(struct script_state *state);
void script_end_unconnected(struct script_state *state);
bool script_state_acts(struct script_state *state);
