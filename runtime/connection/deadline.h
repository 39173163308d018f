/* SPDX-License-Identifier: MIT
 *
 * When an exchange or a connection, as it is now, will have been there, or quiet, for too long: for who looks at it. */
#pragma once

#include "connection/connection.h"

/* While draining, a connection that has been quiet for so long counts as idle. */
enum { DRAIN_QUIET_MS = 1000 };

struct bound {
  clock_ms at; /* CLOCK_NEVER: not at all */
  enum close_reason reason;
  enum pipe_side side;
  bool is_silence; /* the side's peer is not there: whatever else moves is no reason to wait */
};

/* Of one that is not over. */
struct bound deadline_of_exchange(const struct exchange *exchange);

/* Of a connection with a codec: its own, beside those of its exchanges. */
struct bound deadline_of_connection(const struct connection *connection);

/* What keep_alive makes of timeouts.idle or timeouts.lifetime. */
uint64_t deadline_kept(const struct connection *connection, uint64_t wait);
