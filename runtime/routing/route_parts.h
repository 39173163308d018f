/* SPDX-License-Identifier: MIT
 *
 * Parts of a route that the config has too, and of which more is said than a number or a text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROUTE_NO_FUNCTION = -1 };

/* keep_alive: how idle and lifetime are treated. EXTENDED multiplies both, IMMORTAL lifts both, and `stuck` too. */
enum keep_alive_treatment { KEEP_ALIVE_STANDARD, KEEP_ALIVE_EXTENDED, KEEP_ALIVE_IMMORTAL };

extern const char *const keep_alive_words[]; /* by the enum, then NULL */

struct route_keep_alive {
  enum keep_alive_treatment treatment;
  unsigned multiplier; /* 1 to 1000 */
  int function;        /* slot of function(context), asked once when the route is known; ROUTE_NO_FUNCTION */
};

/* A limit of one address. One that is not set is inherited; 0 lifts it. */
struct address_limit {
  bool is_set;
  uint32_t count;
  uint64_t window_ms;
};

struct address_limits {
  struct address_limit connections; /* at once */
  struct address_limit rate;        /* new ones in any window */
};

/* The PROXY header that goes before a client's bytes to the target. */
struct route_proxy_send {
  unsigned version; /* 0: none */
  uint8_t *tlvs;    /* of the route, as they go over the wire; NULL: none */
  size_t tlvs_size;
};
