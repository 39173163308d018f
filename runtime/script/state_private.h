/* SPDX-License-Identifier: MIT
 *
 * What state.c, watchdog.c and scheduler.c share. */
#pragma once

#include "script/state.h"

/* Before the first state of the process is made; nothing the other times (string_hash.c). */
void script_secure_strings(void);

/* Arms the hook of a state that is to be watched. */
void script_watch_arm(struct script_state *state);

/* Something large was allocated: the watchdog looks at the next instruction, since more of the kind may be slow. */
void script_watch_soon(struct script_state *state);

/* Lua's stack is about to overflow, for whose handling LuaJIT wants a little more: whether it shall not have it,
 * because the stretch is over. At the stack's end there is no room for the hook. */
bool script_watch_refuses_stack(struct script_state *state);

/* Turns the error on top of `L` into a string with the traceback of `from` (the coroutine that raised it). Raises
 * without memory. */
void script_add_traceback(lua_State *L, lua_State *from);

/* Replaces the error on top of `L`, which is no text and has no __tostring, by a short description: a table by its
 * message or its first fields. Runs no code of the user's. Raises without memory. (error_value.c) */
void script_describe_error(lua_State *L);

/* Frees the task at once (scheduler.c). */
void task_free(struct script_task *task);

/* Beyond limits.script_memory, for telling that it was reached. */
enum { SCRIPT_MEMORY_SLACK = 64 * 1024 };

/* Garbage counts against the limit too, and the collector does not know the limit: whether it is time to collect, and
 * doing it. */
bool script_state_is_tight(const struct script_state *state);
void script_collect(struct script_state *state, lua_State *L);
