/* SPDX-License-Identifier: MIT
 *
 * Checking arguments of bindings, and those that several take: durations, and places to connect to. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARGUMENT_HOST_SIZE = 256 };

/* Seconds as a number, or a text such as "500ms", "90s", "5m", "4h", "30d". False when it is neither, negative or not
 * finite; a duration is at most some 30 years. */
bool argument_duration(lua_State *L, int index, double *seconds);

/* Raises "bad argument #1 to 'socket:send' (message)" for the argument at `index` of the binding that runs. The name is
 * ours, since Lua knows none of what is called last ("return socket:send()"). */
int argument_error(lua_State *L, int index, const char *message);

/* The same when it is not `ok`, which is of another type: `wanted` is what is expected there. */
void argument_check(lua_State *L, bool ok, int index, const char *wanted);

/* The string at `index`, for what is no text with a NUL in it: names, addresses, paths. NULL: it has one, or it is no
 * string. */
const char *argument_text(lua_State *L, int index);

/* A string, or a number as one. Raises. */
const char *argument_check_string(lua_State *L, int index, size_t *size);

/* A number, or `otherwise` where there is none or nil. Raises. */
lua_Number argument_opt_number(lua_State *L, int index, lua_Number otherwise);

/* Raises where the table of options at `index` has a key that is not among the `known` ones (NULL behind the last). */
void argument_check_options(lua_State *L, int index, const char *const *known);

/* A duration in milliseconds, rounded up; raises for argument `index`. */
uint64_t argument_check_ms(lua_State *L, int index);

struct argument_target {
  char host[ARGUMENT_HOST_SIZE]; /* a name, a literal address, or "unix:/path" */
  int port;                      /* -1 for a unix socket */
};

/* "host:port", "[v6]:port", "unix:/path", or (host, port) when `port_index` is not 0 and there is a value. Raises for
 * what is neither. */
void argument_check_target(lua_State *L, int index, int port_index, struct argument_target *target);
