/* SPDX-License-Identifier: MIT
 *
 * Options, from a normal form that the schema made into their record in C. */
#pragma once

#include "core/error.h"
#include "routing/option.h"

#include <lua.h>

/* Fills what is said in the normal form at the absolute index `t`; what isn't stays as it is. 0, or a negative errno
 * and the first `error`, its place the option's path: then the others are filled all the same. Raises without memory.
 * The record is released by options_clear() in each case. */
int options_read(const struct options *options, lua_State *L, int t, void *record, struct error *error);

/* Of all that `is_compared`. */
uint64_t options_digest(const struct options *options, lua_State *L, int t);
