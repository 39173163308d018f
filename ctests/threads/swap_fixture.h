/* SPDX-License-Identifier: MIT
 *
 * Two workers, whose loops are turned by hand, and the swap over them. */
#pragma once

#include "threads/swap.h"

#include "../support/tables.h"

#include "connection/port_change.h"

#include <errno.h>
#include <unistd.h>

enum { WORKERS = 2 };

struct fixture {
  struct clock clock;
  struct loop control;
  struct log log;
  struct worker_settings settings;
  struct thread thread[WORKERS], *pointers[WORKERS];
  struct threads threads;
  struct swap swap;
  const struct table_pin *pins[WORKERS]; /* as they were when the swap began */
  struct route_table *live, *coming;     /* a reference each */
  struct port_change *ports;
  uint16_t resolved[16], coming_resolved[16];
  int done, status;
};

static const struct script_hooks hooks = {.table_adopted = no_table_adopted, .table_released = no_table_released};

static void on_drained(struct worker *worker, void *context) {
  (void)worker;
  (void)context;
}

static inline struct worker *worker_of(struct fixture *fixture, size_t i) { return &fixture->thread[i].worker; }

/* As a reload does: what is live then is the workers'. */
static void on_done(struct swap *swap, int status) {
  struct fixture *fixture = (struct fixture *)(void *)((char *)swap - offsetof(struct fixture, swap));
  struct route_table *gone = status == 0 ? fixture->live : fixture->coming;
  fixture->done++;
  fixture->status = status;
  if (status == 0) {
    fixture->live = fixture->coming;
    memcpy(fixture->resolved, fixture->coming_resolved, sizeof fixture->resolved);
  }
  fixture->coming = NULL;
  port_change_free(fixture->ports);
  fixture->ports = NULL;
  route_table_unref(gone);
}

/* Takes over `table`, which is live; `plane` may be NULL. */
static inline void fixture_init(struct fixture *fixture, struct route_table *table, struct plane *plane) {
  struct error error = {0};
  assert_int_equal(0, loop_init(&fixture->control, &fixture->clock, fixture));
  log_init(&fixture->log, &fixture->clock, STDERR_FILENO);
  fixture->log.level = LOG_OFF;
  fixture->live = table;
  for (size_t i = 0; i < WORKERS; i++) {
    fixture->pointers[i] = &fixture->thread[i];
    assert_int_equal(0, worker_init(worker_of(fixture, i), (unsigned)i + 1, WORKERS, &fixture->clock, &fixture->log,
                                    &fixture->settings, &hooks, &error));
    assert_int_equal(0, worker_set_table(worker_of(fixture, i), table, fixture->resolved, &error));
  }
  fixture->threads = (struct threads){.loop = &fixture->control, .threads = fixture->pointers, .count = WORKERS};
  assert_int_equal(0, swap_init(&fixture->swap, &fixture->threads, plane));
}

static inline void fixture_deinit(struct fixture *fixture) {
  for (size_t i = 0; i < WORKERS; i++)
    worker_deinit(worker_of(fixture, i));
  swap_deinit(&fixture->swap);
  port_change_free(fixture->ports);
  route_table_unref(fixture->live);
  route_table_unref(fixture->coming);
  loop_deinit(&fixture->control);
}

/* Takes over `table`, which is to be live. */
static inline void fixture_begin(struct fixture *fixture, struct route_table *table) {
  struct error error = {0};
  struct worker *workers[] = {worker_of(fixture, 0), worker_of(fixture, 1)};
  fixture->done = 0;
  fixture->coming = table;
  for (size_t i = 0; i < WORKERS; i++)
    fixture->pins[i] = worker_of(fixture, i)->pin;
  fixture->ports = port_change_new(fixture->live, table);
  assert_int_equal(
      0, port_change_open(fixture->ports, workers, WORKERS, fixture->resolved, fixture->coming_resolved, NULL, &error));
  swap_begin(&fixture->swap, table, fixture->ports, on_done);
}

/* How many workers have taken the table up. */
static inline size_t count_swapped(const struct fixture *fixture) {
  size_t count = 0;
  for (size_t i = 0; i < WORKERS; i++)
    count += fixture->thread[i].worker.pin != fixture->pins[i];
  return count;
}

static inline void turn_workers(struct fixture *fixture) {
  for (size_t i = 0; i < WORKERS; i++)
    loop_round(&worker_of(fixture, i)->loop, false);
}

static inline void turn(struct fixture *fixture) {
  loop_round(&fixture->control, false);
  turn_workers(fixture);
}

enum { MOST_ROUNDS = 100000 };

static inline void finish(struct fixture *fixture) {
  for (int round = 0; round < MOST_ROUNDS && fixture->done == 0; round++)
    turn(fixture);
  assert_int_equal(1, fixture->done);
  assert_false(swap_is_under_way(&fixture->swap));
}
