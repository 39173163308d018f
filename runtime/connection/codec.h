/* SPDX-License-Identifier: MIT
 *
 * What cuts the bytes of a connection into exchanges, one after another or many at a time. It takes the connection over
 * from a step of the corridor, and has its stream from then on; it begins an exchange where it has read the head of
 * one, with a stream that it keeps for it, and is told of its end. In between the connection is idle. */
#pragma once

#include "connection/connection.h"

struct codec;

struct codec_ops {
  const char *name;
  unsigned exchanges; /* at most, at once, of one connection; also those that were over in this round of events */
  /* The exchange is over, and counted; `side` and `reason` say why. Its client's stream is the codec's again. May begin
   * others, and close the connection, but no other exchange by itself. Not when the connection is closing. */
  void (*exchange_over)(struct codec *codec, struct exchange *exchange, enum pipe_side side, enum close_reason reason);
  /* The connection is closing, its exchanges are over, whose streams are the codec's again: it reads and writes no
   * more.
   */
  void (*connection_closing)(struct codec *codec);
  /* The connection is gone. */
  void (*free)(struct codec *codec);
};

/* Embedded in the codec's own record; zeroed but for `ops`. */
struct codec {
  const struct codec_ops *ops;
  const struct table_port *table_port; /* where its exchanges are routed, of the worker's current table; NULL: its port
                                          has gone, and no exchange begins any more */
  struct route *route;       /* the first that an exchange had: the connection is counted by it, and so are the bytes of
                                no exchange; one reference; NULL before */
  struct byte_count claimed; /* of the wire's bytes: what exchanges were charged, or have to be, and what is settled */
  unsigned exchanges;        /* that there are, as counted for ops->exchanges */
  uint64_t idle, linger;     /* timeouts of the last route, for when no exchange is under way */
  struct peer_look look;     /* closing */
};

/* From a step of the connection's corridor: the codec has it from here on, and no exchange has begun. Always GONE, as
 * the corridor ends here. */
enum step_result connection_take_codec(struct connection *connection, struct codec *codec);

/* Makes an exchange, the client's side of which is `client`; exchange_start() begins it. NULL without memory, when
 * there are as many as there may be, or when none may begin any more. */
struct exchange *exchange_new(struct connection *connection, struct stream *client);

/* The codec has consumed, and written, so many of the connection's bytes for the exchange: they are counted by its
 * route, also those from before it had one. No more than has passed the socket and is nobody's yet. */
void exchange_charge(struct exchange *exchange, uint64_t in, uint64_t out);

/* What has passed the client's wire for it. */
static inline struct byte_count exchange_bytes(const struct exchange *exchange) {
  return exchange->connection->codec ? exchange->bytes : exchange->connection->tally.own;
}
