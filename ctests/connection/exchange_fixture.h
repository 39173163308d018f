/* SPDX-License-Identifier: MIT
 *
 * A worker with one port, where three routes are: "tls", so that a connection waits for its first byte; "a", which is
 * asked first, and "b". A connection there, taken over by a codec that is the test itself: it reads and writes the
 * client's wire, and each exchange has one end of a socket pair as its client. */
#pragma once

#include "../support/tables.h"
#include "connection/codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 7000, ROUTE_A = 1, ROUTE_B = 2, SLOT_WHEN_A = 1, SLOT_TARGET_A, SLOT_TARGET_B };

/* An exchange, as its codec sees it. */
struct part {
  struct exchange *exchange; /* NULL: it is over */
  struct stream client;
  int far; /* the codec's end of the pair */
  int target;
  enum pipe_side side; /* how it ended */
  enum close_reason reason;
};

enum { PARTS = 4 };

struct fixture {
  struct clock clock;
  struct log log;
  struct worker_settings settings;
  struct worker worker;
  struct route_table *table;
  struct connection *connection; /* NULL: it is gone */
  struct codec codec;
  struct part parts[PARTS];
  int wire; /* the client's end */
  int listeners[2];
  uint16_t ports[2];
  bool wants_a;             /* what `when` of the route "a" answers */
  bool holds;               /* functions wait */
  bool begins;              /* where an exchange ends, another begins: the last of the parts */
  bool closes;              /* functions close the exchange that asks them, where it stands */
  struct exchange *waiting; /* of which the last one waits */
  int cancelled, closing, freed;
};

static inline struct fixture *fixture_of(const struct worker *worker) {
  return (struct fixture *)(void *)((char *)worker - offsetof(struct fixture, worker));
}

static inline void fixture_answer(struct exchange *exchange, int slot) {
  struct fixture *fixture = fixture_of(exchange_worker(exchange));
  struct function_answer *answer = calloc(1, sizeof *answer);
  assert_non_null(answer);
  answer->kind = ANSWER_VALUES;
  answer->truthy = slot != SLOT_WHEN_A || fixture->wants_a;
  if (slot != SLOT_WHEN_A) {
    answer->string = strdup("127.0.0.1");
    answer->has_number = true;
    answer->number = fixture->ports[slot == SLOT_TARGET_B];
  }
  asker_answered(&exchange->asker, answer);
}

static inline int fixture_function_call(struct asker *asker, int slot) {
  struct exchange *exchange = asker_exchange(asker);
  struct fixture *fixture = fixture_of(exchange_worker(exchange));
  if (fixture->closes) {
    exchange_close(exchange, PIPE_CLIENT, CLOSE_KILLED);
  } else if (fixture->holds) {
    asker->script = fixture; /* something to cancel */
    fixture->waiting = exchange;
  } else {
    fixture_answer(exchange, slot);
  }
  return 0;
}

static inline void fixture_cancel(struct asker *asker) {
  asker->script = NULL;
  fixture_of(asker->ops->worker(asker))->cancelled++;
}

static const struct script_hooks fixture_hooks = {.table_adopted = no_table_adopted,
                                                  .table_released = no_table_released,
                                                  .function_call = fixture_function_call,
                                                  .cancel = fixture_cancel};

static inline struct fixture *fixture_of_codec(struct codec *codec) {
  return (struct fixture *)(void *)((char *)codec - offsetof(struct fixture, codec));
}

static inline struct part *part_of(struct fixture *fixture, const struct exchange *exchange) {
  for (size_t i = 0; i < PARTS; i++)
    if (fixture->parts[i].exchange == exchange)
      return &fixture->parts[i];
  fail_msg("an exchange that the codec has not made");
  return NULL;
}

static inline void part_over(struct part *part) {
  part->exchange = NULL;
  stream_close(&part->client, false);
}

static inline struct part *fixture_begin(struct fixture *fixture, size_t index);

static inline void on_exchange_over(struct codec *codec, struct exchange *exchange, enum pipe_side side,
                                    enum close_reason reason) {
  struct part *part = part_of(fixture_of_codec(codec), exchange);
  part->side = side;
  part->reason = reason;
  part_over(part);
  if (fixture_of_codec(codec)->begins)
    fixture_begin(fixture_of_codec(codec), PARTS - 1);
}

static inline void on_connection_closing(struct codec *codec) {
  struct fixture *fixture = fixture_of_codec(codec);
  fixture->closing++;
  for (size_t i = 0; i < PARTS; i++)
    if (fixture->parts[i].exchange)
      part_over(&fixture->parts[i]);
}

static inline void on_codec_free(struct codec *codec) {
  struct fixture *fixture = fixture_of_codec(codec);
  fixture->freed++;
  fixture->connection = NULL;
}

static const struct codec_ops fixture_codec_ops = {.name = "test",
                                                   .exchanges = PARTS,
                                                   .exchange_over = on_exchange_over,
                                                   .connection_closing = on_connection_closing,
                                                   .free = on_codec_free};

static inline int fixture_listen(uint16_t *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  assert_int_equal(0, bind(fd, (struct sockaddr *)&address, sizeof address));
  assert_int_equal(0, listen(fd, 16));
  assert_int_equal(0, getsockname(fd, (struct sockaddr *)&address, &length));
  *port = ntohs(address.sin_port);
  return fd;
}

static inline struct route *fixture_route(const char *name, unsigned stats, int when, int target, uint16_t port) {
  struct route *route = route_on(name, port, port);
  route->stats = stats;
  route->when_function = when;
  route->target_function = target;
  route->timeouts = (struct route_timeouts){
      .initial_data = 20000, .connect = 5000, .idle = 60000, .lifetime = 600000, .linger = 4000, .half_dead = 30000};
  return route;
}

/* The three routes, on this port. */
static inline struct route_table *fixture_table(uint16_t port) {
  struct route *tls = fixture_route("tls", 3, ROUTE_NO_FUNCTION, SLOT_TARGET_A, port);
  tls->tls = ROUTE_TLS_PASSTHROUGH;
  struct route *routes[] = {tls, fixture_route("a", ROUTE_A, SLOT_WHEN_A, SLOT_TARGET_A, port),
                            fixture_route("b", ROUTE_B, ROUTE_NO_FUNCTION, SLOT_TARGET_B, port)};
  return table_of(routes, 3);
}

static inline void fixture_rounds(struct fixture *fixture, int count) {
  for (int i = 0; i < count; i++)
    loop_round(&fixture->worker.loop, false);
}

static inline void fixture_swap(struct fixture *fixture, struct route_table *table) {
  struct error error = {0};
  assert_int_equal(0, worker_set_table(&fixture->worker, table, NULL, &error));
  route_table_unref(fixture->table);
  fixture->table = table;
}

/* Goes on by a little; used up to TURNS times for a condition, which is 10 s. */
enum { TURNS = 10000 };

static inline void fixture_turn(struct fixture *fixture) {
  fixture_rounds(fixture, 1);
  usleep(1000);
}

/* A connection from this address (127.0.0.1 is 1) that waits for its first byte. Its client's end. */
static inline int fixture_connect_from(struct fixture *fixture, uint32_t number) {
  struct sockaddr_in peer = {
      .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 + number), .sin_port = htons(1234)};
  int pair[2];
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
  assert_int_equal(0, worker_accept(&fixture->worker, PORT, pair[1], (struct sockaddr *)&peer));
  return pair[0];
}

static inline void fixture_connect(struct fixture *fixture) {
  fixture->wire = fixture_connect_from(fixture, 1);
  fixture->connection = LIST_OWNER(fixture->worker.connections.previous, struct connection, node);
}

static inline int fixture_set_up(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  struct error error = {0};
  fixture->settings.any_ports = true;
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  for (size_t i = 0; i < 2; i++)
    fixture->listeners[i] = fixture_listen(&fixture->ports[i]);
  assert_int_equal(0, worker_init(&fixture->worker, 1, 1, &fixture->clock, &fixture->log, &fixture->settings,
                                  &fixture_hooks, &error));
  fixture_swap(fixture, fixture_table(PORT));
  fixture_connect(fixture);
  assert_int_equal(CONNECTION_ROUTING, fixture->connection->state);
  assert_int_equal(0, fixture->worker.codec_count);
  fixture->codec = (struct codec){.ops = &fixture_codec_ops};
  assert_int_equal(STEP_GONE, connection_take_codec(fixture->connection, &fixture->codec));
  assert_int_equal(1, fixture->worker.codec_count);
  *state = fixture;
  return 0;
}

static inline int fixture_tear_down(void **state) {
  struct fixture *fixture = *state;
  worker_deinit(&fixture->worker);
  assert_int_equal(1, fixture->freed);
  assert_int_equal(0, fixture->worker.codec_count);
  route_table_unref(fixture->table);
  for (size_t i = 0; i < PARTS; i++) {
    if (fixture->parts[i].far > 0)
      close(fixture->parts[i].far);
    if (fixture->parts[i].target > 0)
      close(fixture->parts[i].target);
  }
  close(fixture->listeners[0]);
  close(fixture->listeners[1]);
  close(fixture->wire);
  free(fixture);
  return 0;
}

/* An exchange begins. */
static inline struct part *fixture_begin(struct fixture *fixture, size_t index) {
  struct part *part = &fixture->parts[index];
  int pair[2];
  assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
  *part = (struct part){.far = pair[0]};
  assert_int_equal(0, stream_open(&part->client, &fixture->worker.loop, pair[1], NULL, STREAM_WRITABLE));
  part->exchange = exchange_new(fixture->connection, &part->client);
  assert_non_null(part->exchange);
  exchange_start(part->exchange);
  return part;
}

/* … and is forwarded: to the route "a" or "b". */
static inline struct part *fixture_forward(struct fixture *fixture, size_t index, bool to_a) {
  fixture->wants_a = to_a;
  struct part *part = fixture_begin(fixture, index);
  for (int i = 0; i < TURNS && part->exchange && part->exchange->state != EXCHANGE_FORWARDING; i++)
    fixture_turn(fixture);
  assert_int_equal(EXCHANGE_FORWARDING, part->exchange->state);
  part->target = accept4(fixture->listeners[to_a ? 0 : 1], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  assert_true(part->target >= 0);
  return part;
}

static inline void expect_bytes(struct fixture *fixture, int fd, const char *text) {
  char bytes[256];
  size_t got = 0;
  for (int i = 0; i < TURNS && got < strlen(text); i++) {
    ssize_t more = read(fd, bytes + got, strlen(text) - got);
    got += more > 0 ? (size_t)more : 0;
    if (got < strlen(text))
      fixture_turn(fixture);
  }
  assert_int_equal(strlen(text), got);
  assert_memory_equal(text, bytes, got);
}

/* The client's bytes come in, nobody's yet. */
static inline void fixture_read_wire(struct fixture *fixture, const char *text) {
  char bytes[256];
  size_t got = 0;
  assert_int_equal(strlen(text), write(fixture->wire, text, strlen(text)));
  for (int i = 0; i < TURNS && got < strlen(text); i++) {
    fixture_turn(fixture);
    ssize_t more = stream_read(&fixture->connection->client, bytes, sizeof bytes);
    got += more > 0 ? (size_t)more : 0;
  }
  assert_int_equal(strlen(text), got);
}

/* The client sends: a head, which is the connection's, and the exchange's bytes, which its target gets. */
static inline void fixture_send(struct fixture *fixture, struct part *part, const char *head, const char *text) {
  fixture_read_wire(fixture, head);
  fixture_read_wire(fixture, text);
  exchange_charge(part->exchange, strlen(text), 0);
  assert_int_equal(strlen(text), write(part->far, text, strlen(text)));
  expect_bytes(fixture, part->target, text);
}

/* The target answers, and the client gets it, behind a head. */
static inline void fixture_reply(struct fixture *fixture, struct part *part, const char *head, const char *text) {
  assert_int_equal(strlen(text), write(part->target, text, strlen(text)));
  expect_bytes(fixture, part->far, text);
  assert_int_equal(strlen(head), stream_write(&fixture->connection->client, head, strlen(head)));
  assert_int_equal(strlen(text), stream_write(&fixture->connection->client, text, strlen(text)));
  exchange_charge(part->exchange, 0, strlen(text));
  expect_bytes(fixture, fixture->wire, head);
  expect_bytes(fixture, fixture->wire, text);
}

static inline void fixture_advance(struct fixture *fixture, uint64_t ms) {
  clock_advance(&fixture->clock, ms * 1000000);
  fixture_rounds(fixture, 2);
}

static inline const struct route_stats *stats_of_route(struct fixture *fixture, unsigned number) {
  return metrics_shard_route(fixture->worker.metrics, number);
}

static inline void expect_counts(struct fixture *fixture, unsigned route, uint64_t in, uint64_t out,
                                 uint64_t connections) {
  const struct route_stats *stats = stats_of_route(fixture, route);
  assert_int_equal(in, stats->bytes.in);
  assert_int_equal(out, stats->bytes.out);
  assert_int_equal(connections, stats->connections);
}

/* What all addresses have, and "other". */
static inline struct client_count fixture_sum_clients(const struct metrics_shard *metrics) {
  struct client_row rows[16];
  struct client_count sum = metrics->clients.other;
  assert_in_range(clients_count(&metrics->clients), 0, 16);
  clients_copy(&metrics->clients, rows);
  for (size_t i = 0; i < clients_count(&metrics->clients); i++)
    client_count_add(&sum, &rows[i].count);
  return sum;
}

/* What all routes, and none, have is what there was, and so is what all addresses have. */
static inline void expect_sums(struct fixture *fixture, uint64_t in, uint64_t out) {
  struct route_stats sum = {.connections = 0};
  const struct metrics_shard *metrics = fixture->worker.metrics;
  for (size_t i = 0; i < metrics->live_count; i++)
    route_stats_add(&sum, metrics->live[i]);
  assert_int_equal(in, sum.bytes.in);
  assert_int_equal(out, sum.bytes.out);
  assert_int_equal(metrics->worker.active, sum.active);
  assert_int_equal(metrics->worker.connections, sum.connections + stats_of_route(fixture, METRIC_NO_ROUTE)->active);
  const struct client_count clients = fixture_sum_clients(metrics);
  assert_int_equal(in, clients.bytes.in);
  assert_int_equal(out, clients.bytes.out);
  assert_int_equal(metrics->worker.active, clients.active);
  assert_int_equal(sum.connections, clients.connections);
}
