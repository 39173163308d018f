/* SPDX-License-Identifier: MIT
 *
 * Rounds of asking: one at a time, and who comes while one is under way waits for the next, so that an answer is never
 * older than its question. The sums are in snapshot_sum.c. */
#include "threads/snapshot.h"

#include "connection/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool snapshots_make_room(struct shard_copy *copy, const struct metrics_shard *shard) {
  if (copy->capacity < shard->live_count) {
    struct route_stats *routes = realloc(copy->routes, shard->live_room * sizeof *routes);
    if (!routes)
      return false;
    copy->routes = routes;
    copy->capacity = shard->live_room;
  }
  if (copy->slot_count < shard->route_count) {
    uint32_t *slots = realloc(copy->slots, shard->route_count * sizeof *slots);
    if (!slots)
      return false;
    memset(slots + copy->slot_count, 0, (shard->route_count - copy->slot_count) * sizeof *slots);
    copy->slots = slots;
    copy->slot_count = shard->route_count;
  }
  size_t clients = clients_count(&shard->clients);
  if (copy->client_capacity < clients) {
    struct client_row *rows = realloc(copy->clients, clients * sizeof *rows);
    if (!rows)
      return false;
    copy->clients = rows;
    copy->client_capacity = clients;
  }
  return true;
}

int shard_copy_take(struct shard_copy *copy, const struct metrics_shard *shard) {
  if (!snapshots_make_room(copy, shard))
    return -ENOMEM;
  copy->worker = shard->worker;
  copy->removed = shard->removed;
  copy->route_count = shard->live_count;
  for (size_t i = 0; i < shard->live_count; i++) {
    copy->routes[i] = *shard->live[i];
    copy->slots[copy->routes[i].number] = (uint32_t)i;
  }
  copy->client_count = clients_count(&shard->clients);
  copy->other_clients = shard->clients.other;
  clients_copy(&shard->clients, copy->clients);
  return 0;
}

static struct route_stats *find_stats(const struct shard_copy *copy, unsigned number) {
  uint32_t slot = number < copy->slot_count ? copy->slots[number] : UINT32_MAX;
  return slot < copy->route_count && copy->routes[slot].number == number ? &copy->routes[slot] : NULL;
}

const struct route_stats *shard_copy_find(const struct shard_copy *copy, unsigned number) {
  return find_stats(copy, number);
}

void shard_copy_fold(struct shard_copy *copy, const unsigned *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) {
    struct route_stats *stats = find_stats(copy, numbers[i]);
    if (!stats)
      continue;
    route_stats_add(&copy->removed, stats);
    *stats = copy->routes[--copy->route_count];
    copy->slots[stats->number] = (uint32_t)(stats - copy->routes);
  }
}

void shard_copy_deinit(struct shard_copy *copy) {
  free(copy->routes);
  free(copy->slots);
  free(copy->clients);
  *copy = (struct shard_copy){.routes = NULL};
}

static void snapshots_begin_round(struct snapshots *snapshots);

static struct value *answer_of(const struct snapshots *snapshots, const struct snapshot_waiter *waiter) {
  return waiter->answer(snapshots, waiter->context);
}

/* Answering runs Lua, which may ask again at once: that goes to a round of its own. So the answers come last, from what
 * this round brought. */
static void end_round(struct snapshots *snapshots) {
  struct native_call *calls[SNAPSHOT_MAX_WAITING];
  struct value *answers[SNAPSHOT_MAX_WAITING];
  size_t count = snapshots->now_count;
  for (size_t i = 0; i < count; i++) {
    calls[i] = snapshots->now[i].call;
    answers[i] = answer_of(snapshots, &snapshots->now[i]);
  }
  loop_cancel_timer(snapshots->loop, &snapshots->timer);
  snapshots->missing = 0;
  struct snapshot_waiter *empty = snapshots->now;
  snapshots->now = snapshots->next;
  snapshots->now_count = snapshots->next_count;
  snapshots->next = empty;
  snapshots->next_count = 0;
  if (snapshots->now_count > 0)
    snapshots_begin_round(snapshots);
  for (size_t i = 0; i < count; i++)
    native_call_answer(calls[i], answers[i]);
}

static void on_snapshot_answer(struct message *message, void *receiver);

/* On the worker's thread. */
static void on_snapshot_question(struct message *message, void *receiver) {
  struct snapshot_part *part = (struct snapshot_part *)(void *)message;
  const struct worker *worker = receiver;
  part->filled = shard_copy_take(&part->filling, worker->metrics) == 0;
  message->deliver = on_snapshot_answer;
  /* Refused only when the control thread is past listening; then it does not look at the message either. */
  mailbox_post(&part->owner->loop->mailbox, message);
}

static void snapshots_ask_worker(struct snapshot_part *part) {
  part->message.deliver = on_snapshot_question;
  unsigned long before = part->round;
  part->round = part->owner->round;
  part->asked = part->worker && mailbox_post(&part->worker->loop.mailbox, &part->message);
  if (!part->asked)
    part->round = before;
}

static void on_snapshot_answer(struct message *message, void *receiver) {
  struct snapshot_part *part = (struct snapshot_part *)(void *)message;
  struct snapshots *snapshots = part->owner;
  (void)receiver;
  bool awaited = part->awaited;
  part->asked = part->awaited = false;
  if (part->filled) {
    struct shard_copy last = part->last;
    part->last = part->filling;
    part->filling = last;
  }
  if (!awaited || snapshots->missing == 0)
    return;
  if (part->round != snapshots->round) { /* too late for the round that asked, and too early for this one */
    snapshots_ask_worker(part);
    part->awaited = part->asked;
    if (part->asked)
      return;
  }
  part->complete = part->filled && part->round == snapshots->round;
  if (--snapshots->missing == 0)
    end_round(snapshots);
}

static void on_snapshot_patience_over(struct wheel_timer *timer) {
  end_round((struct snapshots *)(void *)((char *)timer - offsetof(struct snapshots, timer)));
}

static void snapshots_begin_round(struct snapshots *snapshots) {
  snapshots->round++;
  /* Also when nobody can be asked the round takes a turn of the loop: it is never ended within the asking. */
  uint64_t patience = 0;
  for (size_t i = 0; i < snapshots->count; i++) {
    struct snapshot_part *part = &snapshots->parts[i];
    part->complete = false;
    if (!part->asked)
      snapshots_ask_worker(part);
    part->awaited = part->asked && !part->worker->stuck;
    if (part->awaited) {
      snapshots->missing++;
      patience = SNAPSHOT_PATIENCE_MS;
    }
  }
  loop_set_timer(snapshots->loop, &snapshots->timer, patience);
}

int snapshots_init(struct snapshots *snapshots, struct loop *loop, const struct names *names, size_t count) {
  *snapshots =
      (struct snapshots){.loop = loop, .names = names, .count = count, .timer.on_expired = on_snapshot_patience_over};
  snapshots->parts = calloc(count ? count : 1, sizeof *snapshots->parts);
  snapshots->now = calloc(SNAPSHOT_MAX_WAITING, sizeof *snapshots->now);
  snapshots->next = calloc(SNAPSHOT_MAX_WAITING, sizeof *snapshots->next);
  if (snapshots->parts && snapshots->now && snapshots->next)
    return 0;
  snapshots->count = 0;
  snapshots_deinit(snapshots);
  return -ENOMEM;
}

void snapshots_set_worker(struct snapshots *snapshots, size_t index, struct worker *worker) {
  snapshots->parts[index].owner = snapshots;
  snapshots->parts[index].worker = worker;
}

void snapshots_fold(struct snapshots *snapshots, size_t worker, const unsigned *numbers, size_t count) {
  shard_copy_fold(&snapshots->parts[worker].last, numbers, count);
}

void snapshots_fold_plane(struct snapshots *snapshots, const unsigned *numbers, size_t count) {
  for (size_t i = 0; snapshots->plane && i < count; i++)
    metrics_shard_fold(snapshots->plane, numbers[i]);
}

void snapshots_deinit(struct snapshots *snapshots) {
  if (!snapshots->loop)
    return;
  loop_cancel_timer(snapshots->loop, &snapshots->timer);
  snapshots->closed = true;
  while (snapshots->now_count + snapshots->next_count > 0) {
    struct snapshot_waiter waiter =
        snapshots->now_count > 0 ? snapshots->now[--snapshots->now_count] : snapshots->next[--snapshots->next_count];
    native_call_answer(waiter.call, answer_of(snapshots, &waiter));
  }
  for (size_t i = 0; i < snapshots->count; i++) {
    shard_copy_deinit(&snapshots->parts[i].filling);
    shard_copy_deinit(&snapshots->parts[i].last);
  }
  free(snapshots->parts);
  free(snapshots->now);
  free(snapshots->next);
  *snapshots = (struct snapshots){.loop = NULL};
}

void snapshots_ask_for(struct snapshots *snapshots, struct native_call *call, snapshot_answer_fn *answer,
                       void *context) {
  struct snapshot_waiter waiter = {call, answer, context};
  bool under_way = wheel_is_set(&snapshots->timer);
  if (snapshots->closed || (under_way ? snapshots->next_count : snapshots->now_count) >= SNAPSHOT_MAX_WAITING) {
    native_call_answer(call, answer_of(snapshots, &waiter));
    return;
  }
  if (under_way) {
    snapshots->next[snapshots->next_count++] = waiter;
    return;
  }
  snapshots->now[snapshots->now_count++] = waiter;
  snapshots_begin_round(snapshots);
}

static struct value *answer_with_sums(const struct snapshots *snapshots, void *context) {
  (void)context;
  return snapshots_sum(snapshots);
}

void snapshots_ask(struct snapshots *snapshots, struct native_call *call) {
  snapshots_ask_for(snapshots, call, answer_with_sums, NULL);
}
