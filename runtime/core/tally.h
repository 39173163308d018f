/* SPDX-License-Identifier: MIT
 *
 * Where the bytes of a client's wire are counted, once, beside the socket call. `in` is from the client, `out` is
 * to the client. Each counter has one writer, its worker; others see it in the snapshots that the worker takes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct byte_count {
  uint64_t in, out;
};

static inline void tally_add(struct byte_count *sum, struct byte_count part) {
  sum->in += part.in;
  sum->out += part.out;
}

/* Until a connection has its route, `route` is NULL and its bytes stand in `own` alone; tally_set_route() then brings
 * them to the route, once. So the sum over the routes is the total at any time. With a codec there is no such route:
 * its exchanges are charged (connection/codec.h). */
struct tally {
  struct byte_count own;    /* the connection's */
  struct byte_count *route; /* the route's, in this worker's shard */
};

static inline void tally_in(struct tally *tally, size_t bytes) {
  tally->own.in += bytes;
  if (tally->route)
    tally->route->in += bytes;
}

static inline void tally_out(struct tally *tally, size_t bytes) {
  tally->own.out += bytes;
  if (tally->route)
    tally->route->out += bytes;
}

static inline void tally_set_route(struct tally *tally, struct byte_count *route) {
  tally->route = route;
  tally_add(route, tally->own);
}
