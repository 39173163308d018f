/* SPDX-License-Identifier: MIT
 *
 * The control thread's Lua: one trusted state that runs our own library (the command line, the admin interface) as
 * tasks. What the room above offers to it comes as a table of C functions. */
#pragma once

#include "script/scheduler.h"
#include "script/state.h"

#include <lauxlib.h>
#include <lua.h>

struct listener;

struct script_host {
  struct script_place place;
  struct script_state *state;
};

/* What `place` points to outlives the host; `natives` (a NULL-terminated luaL_Reg, or NULL) becomes the module
 * "moongate.native": each function gets `context` as a light userdata, its upvalue 1. 0 or a negative errno and
 * `error`. */
int script_host_init(struct script_host *host, const struct script_place *place, const struct script_options *options,
                     const struct luaL_Reg *natives, void *context, struct error *error);

/* Cancels all tasks without telling anybody, and closes the state. Outside of its tasks and their callbacks. */
void script_host_deinit(struct script_host *host);

/* Begins `require(module)[name](…)` as a task, whose arguments `push` (may be NULL) puts on the stack that it is given,
 * returning how many; it runs protected. `on_ended` may be called before this returns. 0 or a negative errno and
 * `error`; then it has not begun. */
int script_host_start(struct script_host *host, const char *module, const char *name,
                      int (*push)(lua_State *L, void *context), task_ended_fn *on_ended, void *context,
                      struct error *error);

/* Pushes a Lua socket that owns the connected descriptor `fd`, from where on the state closes it. Within Lua (a C
 * function, or `push` above); raises without Lua memory, and then, or at -ENOMEM and the like, the descriptor is still
 * the caller's. */
int script_push_socket(struct script_state *state, lua_State *L, int fd);
