/* SPDX-License-Identifier: MIT
 *
 * What the functions of "moongate.native" share. */
#pragma once

#include "native/native.h"

struct lua_State;

const struct native_module *native_of(struct lua_State *L);

/* Pushes `value` and frees it, also when pushing raises. Returns what the Lua function returns. */
int native_return(struct lua_State *L, struct value *value);

/* A call of the function that runs; what its module is told to answer. Raises without memory. */
struct native_call *native_call_begin(struct lua_State *L);

/* After it was handed down: what the Lua function returns. */
int native_call_finish(struct lua_State *L, struct native_call *call);

int native_raise_not_running(struct lua_State *L);

/* native.testing(): the functions behind lua/moongate/testing.lua, as a table (bind_testing.c). */
int native_testing(struct lua_State *L);
