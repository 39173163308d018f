/* SPDX-License-Identifier: MIT
 *
 * What is common to planes: which operation may follow which, that none is waited for without a bound, and what they
 * have against a route. */
#include "engines/plane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void plane_begin_preparing(struct plane *plane);

static void plane_fault_clear(struct plane_fault *fault) {
  route_unref(fault->route);
  free(fault->field);
  free(fault->message);
}

static void plane_faults_clear(struct plane_faults *list) {
  for (size_t i = 0; i < list->count; i++)
    plane_fault_clear(&list->faults[i]);
  free(list->faults);
  *list = (struct plane_faults){.count = 0};
}

/* False: there is no memory, or there are enough. */
static bool plane_faults_add(struct plane_faults *list, const struct route *route, const char *field,
                             const char *message) {
  if (list->count == PLANE_FAULTS_MAX)
    return false;
  if (list->count == list->room) {
    size_t room = list->room ? 2 * list->room : 4;
    struct plane_fault *faults = realloc(list->faults, room * sizeof *faults);
    if (!faults)
      return false;
    list->faults = faults;
    list->room = room;
  }
  struct plane_fault fault = {.field = strdup(field ? field : ""), .message = strdup(message)};
  if (!fault.field || !fault.message) {
    plane_fault_clear(&fault);
    return false;
  }
  fault.route = route ? route_ref((struct route *)(uintptr_t)route) : NULL; /* references are all that is written */
  list->faults[list->count++] = fault;
  return true;
}

/* Those of routes that have gone are nobody's. */
static void plane_faults_forget(struct plane *plane) {
  struct plane_faults *list = &plane->faults;
  size_t kept = 0;
  for (size_t i = 0; i < list->count; i++) {
    if (!list->faults[i].route || route_table_has(plane->live, list->faults[i].route))
      list->faults[kept++] = list->faults[i];
    else
      plane_fault_clear(&list->faults[i]);
  }
  list->count = kept;
}

static bool plane_table_has(const struct plane *plane, const struct route_table *table) {
  return table && (table->engines >> plane->ops->engine & 1);
}

static void set_table(struct route_table **place, struct route_table *table) {
  route_table_unref(*place);
  *place = table;
}

/* Sampling goes on while old routes are being retired, too. */
static void on_sampler(struct wheel_timer *timer) {
  struct plane *plane = (struct plane *)(void *)((char *)timer - offsetof(struct plane, sampler));
  loop_set_timer(plane->loop, timer, PLANE_SAMPLE_MS);
  plane->ops->sample(plane);
}

static void plane_take_up(struct plane *plane) {
  set_table(&plane->replaced, plane->live);
  plane->live = plane->coming;
  plane->coming = NULL;
  plane->phase = PLANE_COMMITTED;
  plane_faults_forget(plane);
  if (!wheel_is_set(&plane->sampler))
    loop_set_timer(plane->loop, &plane->sampler, PLANE_SAMPLE_MS);
}

static void plane_end_retiring(struct plane *plane) {
  set_table(&plane->replaced, NULL);
  plane->phase = PLANE_IDLE;
  if (!plane_table_has(plane, plane->live)) { /* nor does it keep the functions of other routes */
    set_table(&plane->live, NULL);
    loop_cancel_timer(plane->loop, &plane->sampler);
  }
  if (plane->is_waiting)
    plane_begin_preparing(plane);
}

static void plane_tell_done(struct plane *plane) {
  plane_done_fn *on_done = plane->on_done;
  plane->on_done = NULL;
  loop_cancel_timer(plane->loop, &plane->patience);
  if (on_done)
    on_done(plane, plane->status, plane->context);
}

/* A route that was refused is an error, whatever the plane says. */
static int plane_judge(struct plane *plane) {
  const struct plane_faults *refusals = &plane->refusals;
  if (plane->status == 0 && refusals->count > 0)
    plane->status = error_set(&plane->error, EINVAL, "route \"%s\": %s", refusals->faults[0].route->name,
                              refusals->faults[0].message);
  return plane->status;
}

/* It is known, and given up. */
static void plane_end_probe(struct plane *plane, int status) {
  plane_done_fn *on_done = plane->on_done;
  void *context = plane->context;
  plane_abort(plane);
  if (on_done)
    on_done(plane, status, context);
}

static void on_plane_answered(struct deferred *deferred) {
  struct plane *plane = (struct plane *)(void *)((char *)deferred - offsetof(struct plane, answered));
  switch (plane->phase) {
  case PLANE_PREPARING:
    if (plane_judge(plane) == 0)
      plane->phase = PLANE_PREPARED;
    if (plane->is_probing) {
      plane_end_probe(plane, plane->status);
      return;
    }
    break;
  case PLANE_COMMITTING:
    if (plane_judge(plane) == 0)
      plane_take_up(plane);
    break;
  case PLANE_RETIRING:
    plane_end_retiring(plane);
    return;
  case PLANE_STOPPING:
    plane->phase = PLANE_STOPPED;
    loop_cancel_timer(plane->loop, &plane->sampler);
    break;
  default:
    return;
  }
  plane_tell_done(plane);
}

void plane_answer(struct plane *plane, int status, const struct error *error) {
  if (!plane_awaited(plane))
    return; /* too late: stopping has been given up */
  plane->status = status;
  if (status < 0)
    plane->error = *error;
  loop_defer(plane->loop, &plane->answered);
}

/* Of what can be given up: preparing, and stopping. */
static void on_plane_patience_over(struct wheel_timer *timer) {
  struct plane *plane = (struct plane *)(void *)((char *)timer - offsetof(struct plane, patience));
  int status = error_set(&plane->error, ETIMEDOUT, "the engine \"%s\" does not answer (%s)",
                         route_engine_words[plane->ops->engine], plane_awaited(plane));
  loop_undefer(plane->loop, &plane->answered);
  if (plane->is_probing) {
    plane_end_probe(plane, status);
    return;
  }
  plane->status = status;
  if (plane->phase == PLANE_STOPPING)
    plane->phase = PLANE_STOPPED;
  plane_tell_done(plane);
}

static void plane_begin(struct plane *plane, enum plane_phase phase, plane_done_fn *on_done, void *context) {
  plane->phase = phase;
  plane->status = 0;
  plane->on_done = on_done;
  plane->context = context;
}

int plane_init(struct plane *plane, const struct plane_ops *ops, struct loop *loop, const struct log *log) {
  *plane = (struct plane){.ops = ops,
                          .loop = loop,
                          .log = log,
                          .shard = metrics_shard_new(),
                          .answered.run = on_plane_answered,
                          .patience.on_expired = on_plane_patience_over,
                          .sampler.on_expired = on_sampler};
  return plane->shard ? 0 : -ENOMEM;
}

void plane_deinit(struct plane *plane) {
  if (!plane->ops)
    return;
  loop_cancel_timer(plane->loop, &plane->patience);
  loop_cancel_timer(plane->loop, &plane->sampler);
  loop_undefer(plane->loop, &plane->answered);
  plane_faults_clear(&plane->refusals);
  plane_faults_clear(&plane->faults);
  set_table(&plane->live, NULL);
  set_table(&plane->coming, NULL);
  set_table(&plane->replaced, NULL);
  metrics_shard_free(plane->shard);
  *plane = (struct plane){.ops = NULL};
}

void plane_refuse(struct plane *plane, const struct route *route, const char *field, const char *message) {
  if (!plane_faults_add(&plane->refusals, route, field, message))
    LOG(plane->log, LOG_WARN, "a route is refused, among too many to be told each", LOG_STRING("route", route->name),
        LOG_STRING("error", message));
}

void plane_tell_fault(struct plane *plane, const struct route *route, const char *field, const char *message) {
  LOG(plane->log, LOG_ERROR, "a fault in an engine: what is live does not do what it should",
      LOG_STRING("engine", route_engine_words[plane->ops->engine]), LOG_STRING("file", route ? route->file : NULL),
      LOG_STRING("route", route ? route->name : NULL), LOG_STRING("field", field), LOG_STRING("error", message));
  plane_faults_add(&plane->faults, route, field, message);
}

void plane_clear_faults(struct plane *plane) {
  if (plane->faults.count == 0)
    return;
  plane_faults_clear(&plane->faults);
  LOG(plane->log, LOG_INFO, "the engine is well again", LOG_STRING("engine", route_engine_words[plane->ops->engine]));
}

bool plane_is_concerned(const struct plane *plane, const struct route_table *table) {
  return plane && plane->phase < PLANE_STOPPING &&
         (plane_table_has(plane, plane->live) || plane_table_has(plane, table));
}

static void plane_begin_preparing(struct plane *plane) {
  plane->is_waiting = false;
  plane->phase = PLANE_PREPARING;
  plane->ops->prepare(plane, plane->live, plane->coming);
}

void plane_prepare(struct plane *plane, struct route_table *table, plane_done_fn *on_done, void *context) {
  if (plane->is_probing)
    plane_end_probe(plane, -EAGAIN);
  assert(plane->phase == PLANE_IDLE || plane->phase == PLANE_RETIRING);
  bool is_retiring = plane->phase == PLANE_RETIRING;
  plane_faults_clear(&plane->refusals);
  set_table(&plane->coming, route_table_ref(table));
  plane_begin(plane, is_retiring ? PLANE_RETIRING : PLANE_PREPARING, on_done, context);
  loop_set_timer(plane->loop, &plane->patience, PLANE_PATIENCE_MS);
  plane->is_waiting = is_retiring;
  if (!is_retiring)
    plane_begin_preparing(plane);
}

bool plane_probe(struct plane *plane, struct route_table *table, plane_done_fn *on_done, void *context) {
  if ((plane->phase != PLANE_IDLE && plane->phase != PLANE_RETIRING) || plane->is_waiting)
    return false;
  plane_prepare(plane, table, on_done, context);
  plane->is_probing = true;
  return true;
}

void plane_commit(struct plane *plane, plane_done_fn *on_done, void *context) {
  assert(plane->phase == PLANE_PREPARED);
  plane_begin(plane, PLANE_COMMITTING, on_done, context);
  plane->ops->commit(plane);
}

void plane_retire(struct plane *plane) {
  if (plane->phase != PLANE_COMMITTED)
    return; /* it was stopped meanwhile */
  plane_begin(plane, PLANE_RETIRING, NULL, NULL);
  plane->ops->retire(plane);
}

void plane_abort(struct plane *plane) {
  bool has_begun =
      plane->phase == PLANE_PREPARING || plane->phase == PLANE_PREPARED || plane->phase == PLANE_COMMITTING;
  if (!has_begun && !plane->is_waiting)
    return;
  plane->on_done = NULL;
  plane->is_waiting = plane->is_probing = false;
  loop_cancel_timer(plane->loop, &plane->patience);
  set_table(&plane->coming, NULL);
  if (!has_begun)
    return; /* retiring goes on */
  loop_undefer(plane->loop, &plane->answered);
  plane->phase = PLANE_IDLE;
  plane->ops->abort(plane);
}

void plane_stop(struct plane *plane, uint64_t ms) {
  if (plane->phase == PLANE_STOPPED)
    return;
  plane_done_fn *interrupted = NULL;
  void *theirs = plane->context;
  if (plane->phase != PLANE_STOPPING) {
    interrupted = plane->on_done;
    loop_undefer(plane->loop, &plane->answered);
    plane->is_waiting = plane->is_probing = false;
    plane_begin(plane, PLANE_STOPPING, plane->on_stopped, plane->owner);
  }
  loop_set_timer(plane->loop, &plane->patience, ms + PLANE_STOP_MS);
  plane->ops->stop(plane, ms);
  if (interrupted)
    interrupted(plane, error_set(&plane->error, ESHUTDOWN, "moongate is stopping"), theirs);
}

const char *plane_awaited(const struct plane *plane) {
  static const char *const words[] = {[PLANE_PREPARING] = "prepare",
                                      [PLANE_COMMITTING] = "commit",
                                      [PLANE_RETIRING] = "retire",
                                      [PLANE_STOPPING] = "stop",
                                      [PLANE_STOPPED] = NULL};
  return words[plane->phase];
}
