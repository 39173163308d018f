/* SPDX-License-Identifier: MIT
 *
 * What is wrong with a connection that is there and does nothing: the classes in which people, the table of connections
 * and the limits on time (timeouts.stuck, timeouts.half_dead, timeouts.connect) speak of it. It only looks; who ends
 * what is decided elsewhere. */
#pragma once

#include "core/clock.h"
#include "net/pipe.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;

/* A connection is of the first that fits. */
enum connection_class {
  CONNECTION_WELL,         /* "": nothing is to be said against it */
  CONNECTION_SLOW_CONNECT, /* "connecting": no target has answered yet */
  CONNECTION_SILENT,       /* "silent": a peer has been sent bytes, and nothing comes back (net/silence.h) */
  CONNECTION_HALF_DEAD, /* "half_dead": one side has ended, and no byte moves; never with half_open, but where that side
                           has broken */
  CONNECTION_STUCK,     /* "stuck": the client has sent what the target has never answered, and no byte moves */
  CONNECTION_UNREAD,    /* "unread": a side has been sent bytes that it does not take, and no byte moves */
  CONNECTION_CLASS_COUNT
};

const char *connection_class_label(enum connection_class class);

/* From this age on a class is worth a look. What is slow without being stuck is mostly faster than that. */
enum { CONNECTION_SUSPECT_MS = 10 * 1000 };

struct connection_finding {
  enum connection_class class;
  clock_ms since; /* of the class; on the worker's coarse clock */
  uint64_t limit; /* ms from `since` after which the route's timeouts want it ended; 0: never */
};

/* Of one that is forwarded byte by byte (never HTTP), both sides of which are there and have said nothing yet: the
 * timeouts.stuck that begins with the client's first byte, of which nobody is told; 0: it has none, or is not such a
 * one. */
uint64_t exchange_unasked_limit(const struct exchange *exchange);

/* Sides that have ended, by 1 << enum pipe_side; also those whose end, or break, has reached us and stands behind bytes
 * that the other side does not take. */
unsigned exchange_ended_sides(const struct exchange *exchange);

/* The one that has broken, while the other still has to take what came before that; false: none has. */
bool exchange_is_breaking(const struct exchange *exchange, enum pipe_side *side);

/* Since when a side has been silent, and which; CLOCK_NEVER: none is. */
clock_ms exchange_silent_since(const struct exchange *exchange, enum pipe_side *side);

/* Whether it is TLS, so that the `tls` of stuck and half_dead holds. */
bool exchange_is_tls(const struct exchange *exchange);

/* On the connection's thread. The class is told from its first millisecond; see connection_is_suspect(). Never
 * CONNECTION_UNREAD, of which the kernel is asked. */
struct connection_finding exchange_classify(const struct exchange *exchange);

/* The same, and CONNECTION_UNREAD: a system call a side of those that are of no other class. */
struct connection_finding exchange_examine(const struct exchange *exchange);

/* Bytes that a side has been sent and has not taken: what waits in our buffers, and in the kernel's. */
size_t exchange_unsent(const struct exchange *exchange, enum pipe_side side);

/* Has it been of its class for CONNECTION_SUSPECT_MS, or for the route's own limit where that is shorter? */
bool connection_is_suspect(const struct connection_finding *finding, clock_ms now);
