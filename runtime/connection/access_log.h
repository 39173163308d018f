/* SPDX-License-Identifier: MIT
 *
 * The access log: one line for each exchange that has ended (TCP has one a connection), where log.access asks for it,
 * through the log that everything else goes through. Nobody waits for it: a line that the log's reader does not take is
 * lost, and counted as errors_total{type="access_log"}. */
#pragma once

#include "connection/connection.h"

enum { ACCESS_TARGET_SIZE = 320 };

/* "10.0.0.1:80": the target that was tried last, and so the one that was used, if any was; NULL: none was tried. */
const char *access_log_target(const struct exchange *exchange, char text[ACCESS_TARGET_SIZE]);

/* What the line is about, beside the connection. */
struct access_exchange {
  const struct exchange *exchange;
  struct byte_count bytes; /* its own */
  clock_ms began;
};

/* Writes the line, if it is asked for; at level debug, what it would say is logged in any case. On the connection's
 * thread, while what it holds is still there. */
void access_log_write(const struct connection *connection, const struct access_exchange *what);

/* The same for a connection of one exchange. */
static inline void access_log_end(const struct connection *connection) {
  access_log_write(connection, &(struct access_exchange){.exchange = &connection->exchange,
                                                         .bytes = connection->tally.own,
                                                         .began = connection->started});
}
