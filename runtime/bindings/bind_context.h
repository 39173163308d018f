/* SPDX-License-Identifier: MIT
 *
 * The methods of the context by name, for messages. */
#pragma once

#include <lauxlib.h>

extern const luaL_Reg context_methods[];
