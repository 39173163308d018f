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

/* At the beginning: where the log asks for lines, times are taken on a finer clock than the loop's. */
void access_log_begin(struct exchange *exchange);

/* As the exchange leaves a state; only when it has `times`. */
void access_log_leave_state(struct exchange *exchange);

/* Writes the exchange's line, if it is asked for; at level debug, what it would say is logged in any case. On the
 * connection's thread, while what it holds is still there. */
void access_log_end(struct exchange *exchange);
