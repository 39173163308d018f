/* SPDX-License-Identifier: MIT
 *
 * A plane that forwards nothing, and writes down what it is told: a letter for each operation, in their order. */
#pragma once

#include "engines/plane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

struct plane_double {
  struct plane plane;
  char order[64];                /* p c r a x: prepare, commit, retire, abort, stop */
  const char *holds;             /* the operations that are not answered by themselves */
  const char *refuses;           /* the name of a route that can't be prepared; NULL: all can */
  const char *refuses_late;      /* … that can't be committed */
  const char *fails;             /* operations that fail, about no route */
  const struct route_table *has; /* what it has committed, until it has retired the rest */
  size_t samples;
  uint64_t counts; /* bytes in each sample, to the first of its routes */
  void (*on_operation)(struct plane_double *plane, char operation);
  void *context;
};

static inline struct plane_double *double_of(struct plane *plane) {
  return (struct plane_double *)(void *)((char *)plane - offsetof(struct plane_double, plane));
}

static inline const struct route *double_find(const struct route_table *table, const char *name) {
  for (size_t i = 0; table && i < table->route_count; i++)
    if (table->routes[i]->engine == ENGINE_NFTABLES && (!name || strcmp(table->routes[i]->name, name) == 0))
      return table->routes[i];
  return NULL;
}

static inline void double_note(struct plane_double *plane, char operation) {
  size_t length = strlen(plane->order);
  assert_true(length + 1 < sizeof plane->order);
  plane->order[length] = operation;
  if (plane->on_operation)
    plane->on_operation(plane, operation);
}

/* Answers, unless it holds that. */
static inline void double_answer(struct plane_double *plane, char operation, const char *refused) {
  struct error error;
  const struct route *route = refused ? double_find(plane->plane.coming, refused) : NULL;
  if (plane->holds && strchr(plane->holds, operation))
    return;
  if (route)
    plane_refuse(&plane->plane, route, "match.ports", "the kernel does not want it");
  bool fails = plane->fails && strchr(plane->fails, operation);
  plane_answer(&plane->plane, fails ? error_set(&error, ENOBUFS, "the kernel is full") : 0, &error);
}

static void double_prepare(struct plane *plane, const struct route_table *before, const struct route_table *table) {
  assert_ptr_equal(before, plane->live);
  assert_ptr_equal(table, plane->coming);
  double_note(double_of(plane), 'p');
  double_answer(double_of(plane), 'p', double_of(plane)->refuses);
}

static void double_commit(struct plane *plane) {
  struct plane_double *self = double_of(plane);
  double_note(self, 'c');
  if (!self->refuses_late && !(self->fails && strchr(self->fails, 'c')))
    self->has = plane->coming;
  double_answer(self, 'c', self->refuses_late);
}

static void double_retire(struct plane *plane) {
  double_note(double_of(plane), 'r');
  double_answer(double_of(plane), 'r', NULL);
}

static void double_abort(struct plane *plane) { double_note(double_of(plane), 'a'); }

static void double_sample(struct plane *plane) {
  struct plane_double *self = double_of(plane);
  const struct route *route = double_find(plane->live, NULL);
  self->samples++;
  if (route)
    metrics_shard_route(plane->shard, route->stats)->bytes.in += self->counts;
}

static void double_stop(struct plane *plane, uint64_t ms) {
  (void)ms;
  double_note(double_of(plane), 'x');
  double_answer(double_of(plane), 'x', NULL);
}

static const struct plane_ops double_ops = {.engine = ENGINE_NFTABLES,
                                            .prepare = double_prepare,
                                            .commit = double_commit,
                                            .retire = double_retire,
                                            .abort = double_abort,
                                            .sample = double_sample,
                                            .stop = double_stop};
