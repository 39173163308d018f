/* SPDX-License-Identifier: MIT
 *
 * The record of a client that might come, in a worker that has no loop, no log and no sockets: what a step does to
 * those ends here. */
#include "connection/trial.h"

#include "connection/admission.h"
#include "connection/connection_private.h"
#include "connection/sniff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct trial {
  struct worker worker;
  struct connection connection;
  struct table_pin pin;
  struct log log;
  const struct trial_client *client;
  struct trial_record *record;
  const char *step; /* that is run */
  enum step_trial kind;
  uint64_t blocked_ms;
  clock_ms until; /* its time is over then */
  size_t sent, answer_size;
  uint8_t answer[TRIAL_ANSWER_SIZE];
  uint8_t bytes[TRIAL_ANSWER_SIZE]; /* what is read */
  void (*on_when)(void *context, const struct route *route);
  void *context;
};

/* --- what the steps find in place of the world --- */

static struct trial *trial_of(const struct stream *stream) {
  return ((const struct connection *)((const char *)stream - offsetof(struct connection, client)))->worker->trial;
}

static ssize_t trial_read(struct stream *stream, void *bytes, size_t size) {
  struct trial *trial = trial_of(stream);
  const char *all = trial->client->sends;
  size_t left = all ? strlen(all) - trial->sent : 0;
  size_t most = size < sizeof trial->bytes ? size : sizeof trial->bytes, count = left < most ? left : most;
  if (count == 0) {
    stream->readiness &= (uint8_t)~STREAM_READABLE;
    return STREAM_WANT_READ;
  }
  memcpy(bytes, all + trial->sent, count);
  trial->sent += count;
  return (ssize_t)count;
}

static ssize_t trial_writev(struct stream *stream, const struct iovec *parts, int count) {
  struct trial *trial = trial_of(stream);
  size_t all = 0;
  for (int i = 0; i < count; i++) {
    size_t left = sizeof trial->answer - trial->answer_size, size = parts[i].iov_len;
    size_t taken = size < left ? size : left;
    memcpy(trial->answer + trial->answer_size, parts[i].iov_base, taken);
    trial->answer_size += taken;
    all += size;
  }
  return (ssize_t)all;
}

static const struct stream_ops trial_stream_ops = {.name = "trial", .read = trial_read, .writev = trial_writev};

bool trial_is_over(const struct trial *trial) { return clock_now(trial->worker.loop.clock) >= trial->until; }

/* A `when` says no, so that all of them are asked; `authorize` yes, and keep_alive nothing. Going on behind a `when`
 * may take as long as there are routes (sets with globs are looked at one by one), and each may have one: when the time
 * is over none is answered any more. */
static int trial_function_call(struct asker *asker, int slot) {
  struct exchange *exchange = asker_exchange(asker);
  struct trial *trial = exchange_worker(exchange)->trial;
  struct trial_record *record = trial->record;
  if (!exchange->route && record->when_count >= TRIAL_WHENS_LEAST && trial_is_over(trial))
    return 0;
  struct function_answer *answer = calloc(1, sizeof *answer);
  if (!answer)
    return -ENOMEM;
  answer->kind = ANSWER_VALUES;
  if (!exchange->route) {
    record->when_count++;
    if (trial->on_when)
      trial->on_when(trial->context, exchange->candidate_asked);
  } else if (slot == exchange->route->security.authorize_function && !record->asks_authorize) {
    record->asks_authorize = answer->truthy = true;
  }
  asker_answered(asker, answer);
  return 0;
}

static const struct script_hooks trial_hooks = {.function_call = trial_function_call};

/* --- what they say --- */

static struct trial_refusal *trial_note(struct trial *trial, enum close_reason reason) {
  struct trial_record *record = trial->record;
  if (record->refusal_count == TRIAL_REFUSALS)
    return NULL;
  struct trial_refusal *refusal = &record->refusals[record->refusal_count++];
  *refusal = (struct trial_refusal){.step = trial->step, .reason = reason, .limit = -1, .is_reset = true};
  refusal->at = trial->kind == STEP_GATE        ? TRIAL_AT_GATE
                : trial->connection.first.route ? TRIAL_AT_ROUTE
                                                : TRIAL_AT_CHOICE;
  return refusal;
}

enum step_result trial_refuse(struct trial *trial, enum close_reason reason, const char *option, int64_t limit) {
  struct trial_refusal *refusal = trial_note(trial, reason);
  if (refusal) {
    refusal->option = option;
    refusal->limit = limit;
    refusal->blocked_ms = reason == CLOSE_LIMIT_BLOCKED ? trial->blocked_ms : 0;
  }
  return STEP_REFUSED;
}

void trial_close(struct trial *trial, enum close_reason reason, bool resets) {
  struct trial_refusal *refusal = trial_note(trial, reason);
  if (!refusal)
    return;
  refusal->is_reset = resets;
  refusal->answer_size = trial->answer_size;
  memcpy(refusal->answer, trial->answer, sizeof refusal->answer);
}

uint64_t *trial_blocked_ms(struct trial *trial) { return &trial->blocked_ms; }

/* --- the run --- */

/* What becomes of a step: true, it is run. `*over`: it is the last that is looked at. */
static bool trial_comes_to(struct trial *trial, const char *name, enum step_trial kind, bool *over) {
  trial->step = name;
  trial->kind = kind;
  *over = kind == STEP_UNTRIED || kind == STEP_LAST;
  if (kind == STEP_UNTRIED)
    trial->record->undecided = name;
  return kind == STEP_GATE || kind == STEP_TRIED;
}

/* False: it goes no further. */
static bool trial_goes_on(struct trial *trial, enum step_result result) {
  if (result == STEP_WAIT)
    trial->record->undecided = trial->step;
  return result == STEP_DONE || (result == STEP_REFUSED && trial->kind == STEP_GATE);
}

static void run_exchange(struct trial *trial) {
  bool over = false;
  for (const struct exchange_step *step = exchange_corridor; step->name && !over; step++)
    if (trial_comes_to(trial, step->name, step->trial, &over))
      over = !trial_goes_on(trial, step->run(&trial->connection.first));
}

static void run_connection(struct trial *trial) {
  bool over = false;
  for (const struct connection_step *step = connection_corridor; step->name && !over; step++)
    if (trial_comes_to(trial, step->name, step->trial, &over))
      over = !trial_goes_on(trial, step->run(&trial->connection));
  if (!over)
    run_exchange(trial);
}

/* What a ClientHello would have said. */
static struct sniffed *make_sniffed(const struct trial_client *client) {
  struct client_hello hello;
  client_hello_init(&hello);
  hello.versions = client->tls_version;
  size_t length = client->domain_length < SERVER_NAME_MAX ? client->domain_length : SERVER_NAME_MAX;
  if (length > 0)
    memcpy(hello.server_name, client->domain, length);
  hello.server_name[length] = '\0';
  return sniffed_new(&hello);
}

static void trial_let_go(struct connection *connection) {
  struct exchange *exchange = &connection->first;
  clients_leave(&connection->worker->metrics->clients, connection->tally.client);
  sniff_cancel(connection);
  free(connection->sniffed);
  buffer_free(connection->client.unread);
  route_unref(exchange->route);
  free(exchange->times);
}

int trial_run(struct trial *trial, const struct trial_client *client,
              void (*on_when)(void *context, const struct route *route), void *context, struct trial_record *record) {
  struct connection *connection = &trial->connection;
  *record = (struct trial_record){.route = NULL};
  memset(connection, 0, sizeof *connection);
  trial->client = client;
  trial->record = record;
  trial->on_when = on_when;
  trial->context = context;
  trial->sent = trial->answer_size = 0;
  connection->worker = &trial->worker;
  connection->client_address = client->address;
  connection->port = client->port->port;
  connection->client = (struct stream){
      .ops = &trial_stream_ops, .tally = &connection->tally, .fd = -1, .readiness = STREAM_READABLE | STREAM_WRITABLE};
  connection->tally.client = clients_begin(&trial->worker.metrics->clients);
  list_init(&connection->exchanges);
  exchange_init(&connection->first, connection, &connection->client, &trial->pin, client->port);
  bool hello = client->is_tls && client->port->has_tls;
  if (hello && !(connection->sniffed = make_sniffed(client))) {
    trial_let_go(connection);
    return -ENOMEM;
  }
  run_connection(trial);
  record->route = connection->first.route;
  trial_let_go(connection);
  return 0;
}

struct trial *trial_new(struct route_table *table, struct admission *admission, struct clock *clock) {
  struct trial *trial = calloc(1, sizeof *trial);
  struct metrics_shard *metrics = trial ? metrics_shard_new() : NULL;
  if (!metrics) {
    free(trial);
    return NULL;
  }
  trial->until = clock_now(clock) + TRIAL_TIME_MS;
  log_init(&trial->log, clock, -1);
  trial->log.level = LOG_OFF;
  trial->pin = (struct table_pin){.table = table, .users = 1};
  trial->worker = (struct worker){.log = &trial->log,
                                  .hooks = &trial_hooks,
                                  .metrics = metrics,
                                  .pin = &trial->pin,
                                  .admission = admission,
                                  .pipes.bytes = trial->bytes,
                                  .pipes.size = sizeof trial->bytes,
                                  .loop.clock = clock,
                                  .trial = trial};
  list_init(&trial->worker.connections);
  list_init(&trial->worker.walks);
  return trial;
}

void trial_free(struct trial *trial) {
  if (!trial)
    return;
  metrics_shard_free(trial->worker.metrics);
  free(trial);
}
