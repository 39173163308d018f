/* SPDX-License-Identifier: MIT
 *
 * Plain data from C as Lua has it. */
#pragma once

#include "script/value.h"

#include <lua.h>

/* Pushes the value with all that is in it. Raises without memory. */
void value_push(lua_State *L, const struct value *value);
