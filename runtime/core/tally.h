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

/* What is counted by the client's address. Bytes and connections are added here in the same moment as they are added to
 * a route, and so the sum over the addresses is that over the routes, at any time. */
struct client_count {
  struct byte_count bytes;
  uint64_t connections;
  uint64_t active; /* open now, whether they have a route or not */
};

/* Until a connection has its route, `route` is NULL and its bytes stand in `own` alone; tally_set_route() then brings
 * them to the route, and to the client, once. So the sum over the routes is the total at any time. With a codec there
 * is no such route: its exchanges are charged (connection/codec.h). */
struct tally {
  struct byte_count own;       /* the connection's */
  struct byte_count *route;    /* the route's, in this worker's shard */
  struct client_count *client; /* likewise; there before the route is */
};

static inline void tally_in(struct tally *tally, size_t bytes) {
  tally->own.in += bytes;
  if (tally->route) {
    tally->route->in += bytes;
    tally->client->bytes.in += bytes;
  }
}

static inline void tally_out(struct tally *tally, size_t bytes) {
  tally->own.out += bytes;
  if (tally->route) {
    tally->route->out += bytes;
    tally->client->bytes.out += bytes;
  }
}

static inline void tally_set_route(struct tally *tally, struct byte_count *route) {
  tally->route = route;
  tally_add(route, tally->own);
  tally_add(&tally->client->bytes, tally->own);
}
