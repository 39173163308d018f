/* SPDX-License-Identifier: MIT
 *
 * The state directory while moongate runs: what could not be had of it at the start, or be written since, is tried
 * again on the loader thread until it is whole: the lock, the mark on what is loaded, the last good versions. Without
 * the lock nothing is written, for another moongate's may be there. */
#include "reload/reload_private.h"

#include "instance/instance.h"
#include "instance/parts.h"
#include "instance/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_STORE_MS = 250, KEEP_SUBJECT_SIZE = 512 };

struct keep_job {
  struct loading_job job;
  struct instance *instance;
  struct loader *loader;
  struct blocking *blocking; /* of the thread that does it; a reference */
  char *state;
  bool needs_lock;
  struct instance_lock lock; /* what it has got */
  int status;
  struct error error;
};

static struct keep_job *keep_of(struct loading_job *job) {
  return (struct keep_job *)(void *)((char *)job - offsetof(struct keep_job, job));
}

static void drop_keep(struct loading_job *job) {
  struct keep_job *keep = keep_of(job);
  instance_lock_release(&keep->lock);
  blocking_unref(keep->blocking);
  free(keep->state);
  free(keep);
}

/* The disk may not answer: the thread is away meanwhile. False: it has been given up. */
static bool take_lock_away(struct keep_job *keep) {
  char subject[KEEP_SUBJECT_SIZE];
  snprintf(subject, sizeof subject, "%s (locking it)", keep->state);
  struct blocking *blocking = loader_turn_from(keep->loader, subject);
  keep->blocking = blocking ? blocking_ref(blocking) : NULL;
  blocking_begin(keep->blocking);
  keep->status = instance_lock_take(&keep->lock, keep->state, NULL, &keep->error);
  return blocking_end(keep->blocking);
}

static void run_keep(struct loading_job *job) {
  struct keep_job *keep = keep_of(job);
  if (keep->needs_lock && (!take_lock_away(keep) || keep->status < 0))
    return;
  if (!loader_has_mark(keep->loader))
    keep->status = loader_keep_mark_away(keep->loader, keep->state, &keep->error);
  if (keep->status == 0)
    keep->status = loader_store_last_good(keep->loader, keep->state, KEEP_STORE_MS, &keep->error);
}

static void keep_state_again(struct instance *instance);

static void on_keep_done(struct loading_job *job) {
  struct keep_job *keep = keep_of(job);
  struct instance *instance = keep->instance;
  instance->reload->is_keeping = false;
  if (keep->needs_lock && keep->lock.fd >= 0) {
    instance->lock = keep->lock;
    keep->lock.fd = -1;
  }
  if (keep->status < 0 && keep->status != -ECANCELED)
    part_fail(instance, PART_STATE, &keep->error);
  else if (keep->status == 0)
    part_succeed(instance, PART_STATE);
  else
    keep_state_again(instance); /* the rest */
  drop_keep(job);
}

static void on_state_keep_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  struct keep_job *keep = keep_of(job);
  struct reload *reload = keep->instance->reload;
  struct error error;
  (void)loss, (void)message;
  reload->is_keeping = false;
  blocking_unref(reload->keeping_lost);
  reload->keeping_lost = keep->blocking ? blocking_ref(keep->blocking) : NULL;
  error_set(&error, ETIMEDOUT, "the disk does not answer");
  error_set_place(&error, "%s", keep->state);
  part_fail(keep->instance, PART_STATE, &error);
}

static bool on_state_keep_refused(struct loading_job *job, const char *message) {
  (void)job, (void)message;
  return false; /* it waits until a thread comes back */
}

/* NULL without memory. */
static struct keep_job *keep_new(struct instance *instance) {
  struct keep_job *keep = calloc(1, sizeof *keep);
  if (!keep || !(keep->state = strdup(instance->config.state))) {
    free(keep);
    return NULL;
  }
  keep->job = (struct loading_job){.run = run_keep,
                                   .on_done = on_keep_done,
                                   .on_lost = on_state_keep_lost,
                                   .on_refused = on_state_keep_refused,
                                   .drop = drop_keep};
  keep->instance = instance;
  keep->loader = instance->loader;
  keep->lock.fd = -1;
  keep->needs_lock = instance->lock.fd < 0;
  return keep;
}

static void keep_state_again(struct instance *instance) {
  struct reload *reload = instance->reload;
  bool is_lost = reload->keeping_lost && blocking_is_lost(reload->keeping_lost);
  if (reload->is_keeping)
    return;
  struct keep_job *keep = is_lost ? NULL : keep_new(instance);
  if (!keep) {
    const struct error error = instance->parts[PART_STATE].error;
    part_fail(instance, PART_STATE, &error);
    return;
  }
  reload->is_keeping = true;
  loading_post(&instance->loading, &keep->job);
}

void reload_keep_state(struct instance *instance) { instance->parts[PART_STATE].again = keep_state_again; }

void reload_stored(struct reload *reload, int status, const struct error *error) {
  struct instance *instance = reload->instance;
  if (status < 0 && status != -ECANCELED)
    part_fail(instance, PART_STATE, error);
  else if (status == 0 && !reload->is_keeping && loader_has_mark(instance->loader))
    part_succeed(instance, PART_STATE);
}
