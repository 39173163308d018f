/* SPDX-License-Identifier: MIT
 *
 * Plain data from C as Lua has it. */
#pragma once

#include "script/value.h"

#include <lua.h>

/* Pushes the value with all that is in it. Raises without memory. (bind_native.c) */
void native_push_value(lua_State *L, const struct value *value);
