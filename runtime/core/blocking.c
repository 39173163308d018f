/* SPDX-License-Identifier: MIT
 *
 * A lock around a few flags: who holds it is never away. */
#include "core/blocking.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct blocking {
  atomic_uint references;
  atomic_bool hurried;
  pthread_mutex_t lock; /* for what follows */
  bool away, given_up, retired;
  uint64_t serial;
  char subject[BLOCKING_SUBJECT_SIZE];
};

struct blocking *blocking_new(void) {
  struct blocking *blocking = calloc(1, sizeof *blocking);
  if (!blocking)
    return NULL;
  atomic_init(&blocking->references, 1);
  pthread_mutex_init(&blocking->lock, NULL);
  return blocking;
}

struct blocking *blocking_ref(struct blocking *blocking) {
  atomic_fetch_add_explicit(&blocking->references, 1, memory_order_relaxed);
  return blocking;
}

void blocking_unref(struct blocking *blocking) {
  if (!blocking || atomic_fetch_sub_explicit(&blocking->references, 1, memory_order_acq_rel) != 1)
    return;
  pthread_mutex_destroy(&blocking->lock);
  free(blocking);
}

void blocking_enter(struct blocking *blocking, const char *subject) {
  if (!blocking)
    return;
  pthread_mutex_lock(&blocking->lock);
  assert(!blocking->away || blocking->given_up);
  blocking->serial++;
  snprintf(blocking->subject, sizeof blocking->subject, "%s", subject);
  pthread_mutex_unlock(&blocking->lock);
}

void blocking_begin(struct blocking *blocking) {
  if (!blocking)
    return;
  pthread_mutex_lock(&blocking->lock);
  assert(!blocking->away || blocking->given_up);
  blocking->away = true;
  pthread_mutex_unlock(&blocking->lock);
}

bool blocking_end(struct blocking *blocking) {
  if (!blocking)
    return true;
  pthread_mutex_lock(&blocking->lock);
  bool given_up = blocking->given_up;
  blocking->away = given_up;
  pthread_mutex_unlock(&blocking->lock);
  return !given_up;
}

bool blocking_is_hurried(const struct blocking *blocking) {
  return blocking && atomic_load_explicit(&blocking->hurried, memory_order_relaxed);
}

void blocking_retire(struct blocking *blocking) {
  pthread_mutex_lock(&blocking->lock);
  blocking->retired = true;
  pthread_mutex_unlock(&blocking->lock);
}

void blocking_look(struct blocking *blocking, struct blocking_view *view) {
  pthread_mutex_lock(&blocking->lock);
  view->away = blocking->away;
  view->serial = blocking->serial;
  snprintf(view->subject, sizeof view->subject, "%s", blocking->subject);
  pthread_mutex_unlock(&blocking->lock);
}

bool blocking_give_up(struct blocking *blocking, uint64_t serial, void (*take)(void *context), void *context) {
  pthread_mutex_lock(&blocking->lock);
  bool is_there = blocking->away && !blocking->given_up && blocking->serial == serial;
  if (is_there) {
    take(context);
    blocking->given_up = true;
  }
  pthread_mutex_unlock(&blocking->lock);
  return is_there;
}

void blocking_hurry(struct blocking *blocking) {
  atomic_store_explicit(&blocking->hurried, true, memory_order_relaxed);
}

bool blocking_is_lost(struct blocking *blocking) {
  pthread_mutex_lock(&blocking->lock);
  bool is_lost = blocking->given_up && !blocking->retired;
  pthread_mutex_unlock(&blocking->lock);
  return is_lost;
}
