/* SPDX-License-Identifier: MIT
 *
 * Arguments that several bindings take: durations, and places to connect to. */
#pragma once

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

enum { ARGUMENT_HOST_SIZE = 256 };

/* Seconds as a number, or a text such as "500ms", "90s", "5m", "4h", "30d". False when it is neither, negative or not
 * finite; a duration is at most some 30 years. */
bool argument_duration(lua_State *L, int index, double *seconds);

/* The same in milliseconds, rounded up; raises for argument `index`. */
uint64_t argument_check_ms(lua_State *L, int index);

struct argument_target {
  char host[ARGUMENT_HOST_SIZE]; /* a name, a literal address, or "unix:/path" */
  int port;                      /* -1 for a unix socket */
};

/* "host:port", "[v6]:port", "unix:/path", or (host, port) when `port_index` is not 0 and there is a value. Raises for
 * what is neither. */
void argument_check_target(lua_State *L, int index, int port_index, struct argument_target *target);
